-- Your own users. The ids do not begin at 1, which is the administrator's in many systems.
CREATE TABLE IF NOT EXISTS app_user (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    roles VARCHAR(200) NOT NULL,
    disabled BOOLEAN NOT NULL DEFAULT FALSE
) AUTO_INCREMENT = 100000;

-- What wxmint names a user by before the user has an id: the key of /users, or a phone number.
CREATE TABLE IF NOT EXISTS wxmint_key (
    idempotency_key VARCHAR(191) PRIMARY KEY,
    user_id BIGINT NOT NULL
);
