//! The settings. Each has one declaration, a row of this table, from which everything else is
//! written: the two example files, the tables of the pages, the texts of faults and of options.
//! The order is the one that users see.
//!
//! After a change, run `WXMINT_TEST_WRITE=1 cargo unit settings::pages`. In the texts, `{least}` and
//! `{most}` stand for the bounds of the form; a limit also has `{shortest}` and `{longest}`.

use super::declaration::{Declaration, Form, Role, Section, Texts};

const ISSUER: &[Role] = &[Role::Issuer];
const SIDECAR: &[Role] = &[Role::Sidecar];
const BOTH: &[Role] = &[Role::Issuer, Role::Sidecar];

/// A setting of the issuer that need not be set and has no default. A row says what is different.
const ISSUER_SETTING: Declaration = Declaration {
    name: "",
    read_by: ISSUER,
    required_by: &[],
    required_unless: &[],
    form: Form::Words(Texts { en: "", zh: "" }),
    form_words: None,
    sidecar_form: None,
    default: "",
    default_words: None,
    example: "",
    may_be_in_file: false,
    opens_door: false,
    comment: "",
    meaning: Texts { en: "", zh: "" },
};

/// As [`ISSUER_SETTING`], for the sidecar.
const SIDECAR_SETTING: Declaration = Declaration {
    read_by: SIDECAR,
    ..ISSUER_SETTING
};

/// The form of each limit of logins.
const LIMIT: Form = Form::Rate {
    least: 1,
    most: 1_000_000,
    shortest: "1s",
    longest: "30d",
};

pub(super) static SECTIONS: [Section; 2] = [
    Section {
        heading: Texts {
            en: "The settings of wxmint, which are environment variables. Required are the five of `wxmint init`, or in place of WXMINT_APPS_DIR the AppID and AppSecret of one mini program; the others show their defaults.\n\
                 中文版：.env.example.zh-CN\n\
                 \n\
                 wxmint also reads them from a file .env in its working directory; a variable of the environment wins over the file. `wxmint init` writes this text there, with your values. Put a value in single quotes if it contains blanks, a backslash or one of #$&;|<>()*\"`, in double quotes if '. A relative path is relative to the working directory.",
            zh: "wxmint 的配置，都是环境变量。行首没有 # 的必填（`WXMINT_APPS_DIR` 与 `WXMINT_APPID`、`WXMINT_APP_SECRET` 二选一），其余的给出默认值。\n\
                 \n\
                 wxmint 也从工作目录的 .env 文件读取配置，环境变量优先于文件。`wxmint init` 会把本文件连同你的值写成 .env。\n\
                 值里有空格、反斜杠或 #$&;|<>()*\"` 之一时，要加单引号；有 ' 时加双引号。\n\
                 时长写成一个数字加一个单位：90s、30m、24h、30d。\n\
                 相对路径相对于工作目录。",
        },
        settings: OF_ISSUER,
    },
    Section {
        heading: Texts {
            en: "The rest is for `wxmint sidecar`, which also reads WXMINT_ISSUER and WXMINT_AUDIENCE (both required), WXMINT_TOKEN_TYP, WXMINT_ADMIN_LISTEN, WXMINT_MAX_CONNECTIONS and WXMINT_LOG_FORMAT.",
            zh: "以下配置用于 `wxmint sidecar`。它还读取 WXMINT_ISSUER 和 WXMINT_AUDIENCE（两项都必填）、WXMINT_TOKEN_TYP、\n\
                 WXMINT_ADMIN_LISTEN、WXMINT_MAX_CONNECTIONS 和 WXMINT_LOG_FORMAT。",
        },
        settings: OF_SIDECAR,
    },
];

/// The settings that a role reads, in the order of the table.
pub(super) fn declared() -> impl Iterator<Item = &'static Declaration> {
    SECTIONS
        .iter()
        .flat_map(|section| section.settings)
        .filter(|setting| setting.is_read())
}

/// The declaration of a variable, which a test holds against the variables of the code.
pub(super) fn declaration(name: &str) -> &'static Declaration {
    declared()
        .find(|setting| setting.name == name)
        .expect("each variable has a row")
}

/// The settings of `wxmint serve`. `wxmint sidecar` reads those that have `read_by: BOTH`.
const OF_ISSUER: &[Declaration] = &[
    Declaration {
        name: "WXMINT_ISSUER",
        read_by: BOTH,
        required_by: BOTH,
        form: Form::Words(Texts {
            en: "the https URL at which clients reach this service (http only on loopback), without query, fragment, or a slash at the end, since verifiers compare it byte for byte",
            zh: "https URL（本机地址可用 http），不含 query、fragment 和末尾的斜杠，因为验证方逐字节比较",
        }),
        sidecar_form: Some(Texts {
            en: "the `iss` of the tokens, byte for byte as in the issuer's WXMINT_ISSUER, without a slash at the end; several separated by commas",
            zh: "token 的 iss，与签发方的 WXMINT_ISSUER 逐字节相同，末尾没有斜杠；多个用逗号分隔",
        }),
        example: "https://login.example.com",
        comment: "The token's `iss`.",
        meaning: Texts {
            en: "the https URL at which mini programs reach wxmint, without a slash at the end. It is also the token's `iss`. http is allowed on loopback only",
            zh: "小程序访问 wxmint 的 https URL，也是 token 的 `iss`。验证方逐字节比较它，所以不能有 query、fragment 和末尾的斜杠。只有本机地址可以用 http",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_AUDIENCE",
        read_by: BOTH,
        required_by: SIDECAR,
        form: Form::Words(Texts {
            en: "the names of the services that accept the tokens, separated by commas",
            zh: "token 的 aud，即接受 token 的业务服务；多个值用逗号分隔",
        }),
        example: "https://api.example.com",
        default_words: Some(Texts {
            en: "the issuer",
            zh: "同 `WXMINT_ISSUER`",
        }),
        comment: "The token's `aud`. Default: the issuer.",
        meaning: Texts {
            en: "the token's `aud`; separate several with commas",
            zh: "token 的 `aud`，即接受 token 的业务服务；多个值用逗号分隔",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_APPID",
        required_by: ISSUER,
        required_unless: &["WXMINT_APPS_DIR", "WXMINT_PLATFORM_FILE"],
        form: Form::Words(Texts {
            en: "the AppID that WeChat's console shows: wx and 16 hexadecimal digits",
            zh: "小程序的 AppID，在小程序后台查看：wx 加 16 个十六进制数字",
        }),
        example: "wx0123456789abcdef",
        comment: "The mini program.",
        meaning: Texts {
            en: "the mini program's AppID, from [WeChat's console](wechat-console.md#appid-and-appsecret)",
            zh: "小程序的 AppID，在[小程序后台](wechat-console.zh-CN.md#appid-和-appsecret)查看：wx 加 16 个十六进制数字",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_APP_SECRET",
        required_by: ISSUER,
        required_unless: &["WXMINT_APPS_DIR", "WXMINT_PLATFORM_FILE"],
        form: Form::Words(Texts {
            en: "the AppSecret that WeChat's console shows: 32 letters and digits",
            zh: "小程序的 AppSecret：32 个字母和数字",
        }),
        example: "0123456789abcdef0123456789abcdef",
        may_be_in_file: true,
        comment: "The mini program's secret. If it is in a file, wxmint reads the file again when it changes; a change here needs a restart.",
        meaning: Texts {
            en: "the mini program's AppSecret. If it is in a file, wxmint reads the file again when it changes. If it is in the variable, a change needs a restart",
            zh: "小程序的 AppSecret：32 个字母和数字。写进文件时，文件变化后 wxmint 会重新读取；写在变量里，修改后要重启",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_APPS_DIR",
        form: Form::Words(Texts {
            en: "a folder with a file for each mini program, named by its AppID, with the AppSecret in it; with JSON for an official account, a website or a mobile app (docs/web-login.md)",
            zh: "一个或多个小程序，代替 WXMINT_APPID 和 WXMINT_APP_SECRET：一个目录，每个小程序一个文件，文件名是 AppID，内容是 AppSecret；不是小程序的应用写成 JSON",
        }),
        example: "/run/secrets/apps",
        comment: "For one mini program or several, instead of WXMINT_APPID and WXMINT_APP_SECRET; `wxmint init` writes it. wxmint reads the folder again when it changes, so another mini program is another file, and no restart.",
        meaning: Texts {
            en: "stands in place of the two settings above, for one mini program or [several](operation.md#several-mini-programs). It is a folder with one file for each app. The file's name is the AppID, and its content is the AppSecret, or [JSON](web-login.md#set-it-up) if the app is no mini program. `wxmint init` makes the folder `apps`",
            zh: "一个或[多个小程序](operation.zh-CN.md#多个小程序)，代替 `WXMINT_APPID` 和 `WXMINT_APP_SECRET`：一个目录，每个小程序一个文件，文件名是 AppID，内容是 AppSecret；不是小程序的应用写成 [JSON](web-login.zh-CN.md#配置)。`wxmint init` 写的是 `apps`。目录变化时 wxmint 会重新读取，所以再加一个小程序只需再加一个文件，不用重启",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_REDIS_URL",
        required_by: ISSUER,
        form: Form::Words(Texts {
            en: "redis://[user:password@]host:port[/db], redis+cluster://[user:password@]host:port,host:port, or redis+sentinel://[user:password@]host:port,host:port/MASTER[/db]; with TLS: rediss://, rediss+cluster://, rediss+sentinel://; or memory: for a store that is lost when the process ends",
            zh: "Redis 的地址：redis://[用户名:密码@]主机:端口[/库]、redis+cluster://[用户名:密码@]主机:端口,主机:端口 或 redis+sentinel://[用户名:密码@]主机:端口,主机:端口/主节点名[/库]",
        }),
        example: "redis://127.0.0.1:6379",
        may_be_in_file: true,
        comment: "Where codes, session keys and bindings are kept. Set `maxmemory-policy noeviction` in Redis, because bindings are kept nowhere else (docs/redis.md). If the URL is in a file, wxmint reads the file again when it changes.",
        meaning: Texts {
            en: "[`redis://…`, `rediss://…`, `redis+cluster://…`, `redis+sentinel://…`](redis.md#the-url), or `memory:`, which loses everything when the process ends. Use `memory:` for trials only, because bindings are stored nowhere else, and replicas share nothing but Redis",
            zh: "[Redis 的地址](redis.zh-CN.md#地址)：`redis://[用户名:密码@]主机:端口[/库]`、`redis+cluster://[用户名:密码@]主机:端口,主机:端口` 或 `redis+sentinel://[用户名:密码@]主机:端口,主机:端口/主节点名[/库]`。使用 TLS 时写成 `rediss://`、`rediss+cluster://`、`rediss+sentinel://`。绑定只存放在 Redis 里，所以 Redis 要设置 `maxmemory-policy noeviction`。试用时可以写 `memory:`，进程结束后所有数据丢失，副本之间也不共享数据。写进文件时，文件变化后 wxmint 会重新读取",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_REDIS_CA_FILE",
        form: Form::Words(Texts {
            en: "a file with one or more certificates in PEM",
            zh: "PEM 文件，里面有一个或多个证书",
        }),
        example: "/run/secrets/redis/ca.crt",
        comment: "The authorities that may sign the certificate of Redis, instead of those that the system trusts. Only with rediss. wxmint reads this file and the two below again for each new connection.",
        meaning: Texts {
            en: "a PEM file with the certificate authorities that may sign the certificate of Redis. wxmint then trusts these, and not those that the system trusts. It needs a URL with `rediss`",
            zh: "PEM 文件：可以签发 Redis 证书的 CA，代替系统信任的 CA。只能与 `rediss` 一起使用。wxmint 每次新建连接时，重新读取这个文件和下面两个文件",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_REDIS_CERT_FILE",
        form: Form::Words(Texts {
            en: "a file with a certificate in PEM, and the certificates between it and its authority",
            zh: "PEM 文件：Redis 要求客户端证书（tls-auth-clients）时，wxmint 出示的证书；须同时设置 WXMINT_REDIS_KEY_FILE",
        }),
        example: "/run/secrets/redis/tls.crt",
        comment: "The certificate that wxmint shows to Redis, if Redis wants one (tls-auth-clients). Only with rediss.",
        meaning: Texts {
            en: "a PEM file with the certificate that wxmint shows to Redis. It needs `WXMINT_REDIS_KEY_FILE`",
            zh: "PEM 文件：Redis 要求客户端证书（`tls-auth-clients`）时，wxmint 出示的证书；须同时设置 `WXMINT_REDIS_KEY_FILE`",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_REDIS_KEY_FILE",
        form: Form::Words(Texts {
            en: "a file with a private key in PEM, which only its owner can read",
            zh: "PEM 文件：该证书的私钥，只有所有者可读",
        }),
        example: "/run/secrets/redis/tls.key",
        comment: "The private key of that certificate.",
        meaning: Texts {
            en: "a PEM file with the private key of that certificate",
            zh: "PEM 文件：该证书的私钥，只有所有者可读",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_REDIS_CONFIRM",
        form: Form::Words(Texts {
            en: "auto, or a number from 0 to 5",
            zh: "auto，或 0 到 5 的整数",
        }),
        default: "auto",
        comment: "How many replicas must have a new binding, a logout or an unbinding before wxmint answers. auto: every replica that could take over, by the word of the Sentinels, of the Cluster's other primaries, or of the primary itself. 0: none, so a failover may lose them.",
        meaning: Texts {
            en: "how many replicas must have a new binding, a logout or an unbinding before wxmint answers: [`auto`, or 0 to 5](redis.md#replicas)",
            zh: "新绑定、退出登录和解除绑定在响应之前，要等[几个从节点](redis.zh-CN.md#从节点)收到：`auto` 表示所有可能接替主节点的从节点；也可以写 0 到 5，0 表示不等待，主从切换可能丢失这些数据",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_KEYS",
        required_by: ISSUER,
        form: Form::Words(Texts {
            en: "the file of the private JWK Set; make one with: wxmint keys generate --keys keys.json",
            zh: "签名密钥文件，内容是私有的 JWK Set；用 `wxmint keys generate --keys keys.json` 生成",
        }),
        example: "keys.json",
        comment: "The signing keys.",
        meaning: Texts {
            en: "the file of [signing keys](keys.md), a private JWK Set",
            zh: "[签名密钥](keys.zh-CN.md)文件，内容是私有的 JWK Set；用 `wxmint keys generate --keys keys.json` 生成",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_VAULT_KEY_FILE",
        required_by: ISSUER,
        form: Form::Words(Texts {
            en: "a file with base64 of 32 bytes a line; make one with: (umask 077; openssl rand -base64 32 > vault.key)",
            zh: "vault 密钥文件，用于加密 session_key：每行一个 32 字节的 base64，新的在前",
        }),
        example: "vault.key",
        comment: "The vault keys, which seal session keys, newest first. `wxmint vault rotate` adds one (docs/keys.md).",
        meaning: Texts {
            en: "the file of [vault keys](keys.md#the-vault-key), which encrypt session keys. Each line of the file is the base64 of 32 bytes, and the newest key is first",
            zh: "[vault 密钥](keys.zh-CN.md#vault-密钥)文件，用于加密 session_key：每行一个 32 字节的 base64，新的在前。用 `(umask 077; openssl rand -base64 32 > vault.key)` 生成，用 `wxmint vault rotate` 轮换",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_LISTEN",
        form: Form::Words(Texts {
            en: "an address and a port",
            zh: "地址:端口，例如 0.0.0.0:8080",
        }),
        default: "127.0.0.1:8080",
        comment: "The public listener.",
        meaning: Texts {
            en: "the address of the public listener, which speaks plain HTTP",
            zh: "对外的监听地址，明文 HTTP",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_ADMIN_LISTEN",
        read_by: BOTH,
        form: Form::Words(Texts {
            en: "an address and a port that the public cannot reach",
            zh: "地址:端口，公网不能访问",
        }),
        default: "127.0.0.1:9090",
        comment: "The listener for probes, metrics, operators, the console, and your own services.",
        meaning: Texts {
            en: "the address of the listener for probes, metrics, [operators](operators.md) and [your own services](after-login.md). It must never be public. On a loopback address, wxmint answers only requests whose host is a loopback name",
            zh: "探针、指标、[运维操作](operators.zh-CN.md)和[业务服务请求](after-login.zh-CN.md)的监听地址，绝不能对外开放；监听 127.0.0.1 等回环地址时，请求的 Host 必须是 127.0.0.1、localhost 等本机名称，否则返回 421",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_ADMIN_TOKENS_FILE",
        form: Form::Words(Texts {
            en: "a file that only its owner can read, with a line `NAME SECRET RIGHTS` each: a secret of at least 32 characters, or `issuer=URL subject=SUBJECT` of a service's tokens; and read, operate, wechat or events, or some of them with commas; without RIGHTS read alone",
            zh: "运维和业务服务的访问密钥文件，只有所有者可读，变化后 wxmint 会重新读取",
        }),
        example: "admin.tokens",
        comment: "The secrets of operators and of the business's own services (docs/after-login.md), with which the admin listener has the console, and answers below /users and /wechat (docs/operators.md). wxmint reads the file again when it changes. Without it the admin listener has only probes and metrics.",
        meaning: Texts {
            en: "the file of [secrets](operators.md#secrets) or [identities](operators.md#without-a-secret) of operators and of your own services, each with its rights. Without this file the admin listener has only probes and metrics, and no [console](operators.md#the-console)",
            zh: "[运维和业务服务的访问密钥](operators.zh-CN.md#访问密钥)文件，只有所有者可读，变化后 wxmint 会重新读取。每行写 `名称 密钥 权限`：密钥至少 32 个字符，也可以换成[服务的身份](operators.zh-CN.md#不用访问密钥)；权限是 `read`、`operate`、`wechat`、`events` 中的一个或几个，用逗号分隔，不写则只有 `read`。不设置这个文件时，管理端口只有探针和指标，也没有[控制台](operators.zh-CN.md#控制台)",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_CLIENTS_FILE",
        form: Form::Words(Texts {
            en: "a JSON file that only its owner can read; `wxmint clients add` writes it",
            zh: "扫码登录的客户端文件（JSON），列出网站、电视、命令行等可以请求扫码登录的一方，只有所有者可读，变化后 wxmint 会重新读取；用 `wxmint clients add` 添加",
        }),
        example: "clients.json",
        opens_door: true,
        comment: "Who may ask for a login by scan: pages, televisions, command lines (docs/scan-login.md). wxmint reads the file again when it changes. Without it the paths for it are not there.",
        meaning: Texts {
            en: "the file of those who may ask for a [login by scan](scan-login.md), such as websites, televisions and command lines. Without this file, wxmint does not have the routes for scans",
            zh: "[扫码登录](scan-login.zh-CN.md)的客户端文件（JSON），列出网站、电视、命令行等可以请求扫码登录的一方，只有所有者可读，变化后 wxmint 会重新读取；用 `wxmint clients add` 添加。不设置这个文件时，没有扫码登录的接口",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_PLATFORM_FILE",
        form: Form::Words(Texts {
            en: "a JSON file that only its owner can read, with component_appid, component_appsecret, token and encoding_aes_key",
            zh: "第三方平台的配置文件（JSON），让其商家的用户能够登录；只有所有者可读，启动时读取",
        }),
        example: "platform.json",
        opens_door: true,
        comment: "The third-party platform (docs/platforms.md) that logs merchants' people in. Beside it no app of your own is required.",
        meaning: Texts {
            en: "the file of the [third-party platform](platforms.md) whose merchants' people log in. wxmint reads it at the start. With this setting, no app of your own is required",
            zh: "[第三方平台](platforms.zh-CN.md)的配置文件（JSON），让其商家的用户能够登录；只有所有者可读，启动时读取。设置后不必再配置自己的应用",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_VERIFY_FILES_DIR",
        form: Form::Words(Texts {
            en: "a folder with the files that the console gives",
            zh: "微信校验文件所在的目录，其中的文件可以通过 /文件名.txt 和 /device/文件名.txt 访问",
        }),
        example: "check-files",
        comment: "The check files by which WeChat's console sees that this address is yours, served as /NAME.txt and /device/NAME.txt.",
        meaning: Texts {
            en: "the folder of [WeChat's check files](scan-login.md#the-ordinary-qr-code), served as `/NAME.txt` and `/device/NAME.txt`",
            zh: "[微信校验文件](scan-login.zh-CN.md#普通二维码)所在的目录，其中的文件可以通过 `/文件名.txt` 和 `/device/文件名.txt` 访问",
        },
        ..ISSUER_SETTING
    },
    // A connection takes 11 KiB while it is idle, and at most 64 with the kernel's buffers
    // (tests/it/connections.rs), though 1500 that read nothing of the feed take less than
    // 64 MiB: 1000 take at most 63 of the chart's 128 MiB. The process of `wxmint serve` takes
    // 25 and two passwords that are being hashed take 38; the tokens that `wxmint sidecar`
    // remembers take 32.
    Declaration {
        name: "WXMINT_MAX_CONNECTIONS",
        read_by: BOTH,
        form: Form::Number {
            least: 1,
            most: 1_000_000,
        },
        form_words: Some(Texts {
            en: "a number from {least} to {most}; each connection takes up to 64 KiB",
            zh: "{least} 到 {most} 的整数；每个连接最多占 64 KiB",
        }),
        default: "1000",
        comment: "How many connections the public listener accepts at once. While all are taken, each answer closes its connection, and a new client takes the place of the connection that has waited longest for its client.",
        meaning: Texts {
            en: "how many connections the public listener holds at once, and how many logins may be under way, {least} to {most}. Each connection takes up to 64 KiB, whatever its client does. A third of this is in buffers of the kernel, which count as memory of the container too. So 1000 connections take up to 63 MiB beside the 30 MB of wxmint. While all connections are in use, wxmint closes each connection after its answer. For each new client, it looks at the address with the most connections, and closes the one that has waited longest for its client",
            zh: "对外的监听地址同时接受的连接数，{least} 到 {most}，也是同时处理的登录数上限。无论客户端做什么，每个连接最多占用 64 KiB，其中三分之一是内核缓冲区，同样计入容器内存。所以 1000 个连接最多占用 63 MiB，wxmint 本身另占 30 MB。连接数已满时，每个响应发出之后都关闭连接；有新的客户端时，在连接数最多的那个地址中，关闭等待客户端数据最久的连接",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_JWKS_PEERS",
        form: Form::Words(Texts {
            en: "https URLs (http only on loopback), separated by commas",
            zh: "https URL（只有本机地址可以用 http），用逗号分隔",
        }),
        example: "https://login.eu.example.com/.well-known/jwks.json",
        comment: "The JWKS of issuers in other regions, whose keys are published beside wxmint's own (docs/user-ids.md).",
        meaning: Texts {
            en: "the https URLs of the JWKS of issuers in [other regions](user-ids.md#two-regions), separated by commas. wxmint publishes these keys beside its own",
            zh: "[其他地域](user-ids.zh-CN.md#两个地域)签发方的 JWKS，与 wxmint 自己的公钥一起公开；以逗号分隔的 https URL",
        },
        ..ISSUER_SETTING
    },
    // A token that lives less than a minute can expire before it is used. One that lives for
    // months stays valid long after its user was removed.
    Declaration {
        name: "WXMINT_TOKEN_TTL",
        form: Form::Time {
            least: "1m",
            most: "30d",
        },
        default: "24h",
        comment: "How long a token is valid.",
        meaning: Texts {
            en: "how long a token is valid, {least} to {most}. If all your services follow the [revocations](revocation.md), there is little reason for less than a day. A service that does not follow them accepts a stolen token until it expires",
            zh: "token 的有效期，{least} 到 {most}。如果所有业务服务都跟踪[吊销](revocation.zh-CN.md)，没有必要短于一天；不跟踪的服务在 token 过期之前都会接受它，被盗的也一样",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_TOKEN_TYP",
        read_by: BOTH,
        form: Form::Words(Texts {
            en: "at+jwt, or JWT for verifiers that accept no other",
            zh: "at+jwt 或 JWT",
        }),
        default: "at+jwt",
        comment: "The `typ` in the header of a token.",
        meaning: Texts {
            en: "the `typ` in a token's header. Set `JWT` if a verifier knows no other type",
            zh: "token 头部的 `typ`；如果验证方只认 `JWT`，就设为 `JWT`",
        },
        ..ISSUER_SETTING
    },
    // Caches may keep the JWKS for a sixth of this time, and with it a key that was retired in
    // an emergency.
    Declaration {
        name: "WXMINT_KEY_PREPUBLISH",
        form: Form::Time {
            least: "1s",
            most: "7d",
        },
        form_words: Some(Texts {
            en: "one number and one unit, s, m, h or d (90m, not 1h30m), from {least} to {most}, and longer than any verifier waits between two fetches of the keys",
            zh: "一个数字加一个单位 s、m、h 或 d（写 90m，不写 1h30m），{least} 到 {most}",
        }),
        default: "30m",
        comment: "How long a key is published before it signs (docs/keys.md).",
        meaning: Texts {
            en: "how long a key is published [before it signs](keys.md#what-verifiers-do-and-the-lead-that-they-need), {least} to {most}",
            zh: "密钥公开多久之后[才开始签名](keys.zh-CN.md#各种验证方的行为以及需要的提前量)，{least} 到 {most}，要长于任何验证方两次获取公钥的间隔",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_SESSION_KEY_TTL",
        form: Form::Time {
            least: "1s",
            most: "365d",
        },
        form_words: Some(Texts {
            en: "one number and one unit, s, m, h or d (90m, not 1h30m), from {least} to {most}, and no shorter than the time in WXMINT_LIMIT_OPENID",
            zh: "一个数字加一个单位 s、m、h 或 d（写 90m，不写 1h30m），{least} 到 {most}",
        }),
        default: "30d",
        comment: "How long a sealed session_key is kept after the last login. The logins that count for WXMINT_LIMIT_OPENID are forgotten with it.",
        meaning: Texts {
            en: "how long a session key is kept after the person's last login, {least} to {most}. Do not set it shorter than the time in `WXMINT_LIMIT_OPENID`, because the person's count of logins is deleted together with the session key",
            zh: "最后一次登录之后，session_key 保留多久，{least} 到 {most}；不要短于 `WXMINT_LIMIT_OPENID` 中的时间，因为登录次数随 session_key 一起过期",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_ACCOUNTS",
        form: Form::Words(Texts {
            en: "auto, file:PATH, or the https URL of your own account service (http only on loopback, or where WXMINT_DANGEROUS_ACCOUNTS_OVER_HTTP is true)",
            zh: "auto、file:路径，或账号服务的 https URL（http 只能用于本机，或者设置 WXMINT_DANGEROUS_ACCOUNTS_OVER_HTTP=true）",
        }),
        default: "auto",
        comment: "Who knows the business users. auto: the first login of a person makes a user. file: the file that `wxmint users add` writes. https: see docs/accounts.md.",
        meaning: Texts {
            en: "[who the users are](accounts.md): `auto` (the first login makes a user), `file:PATH` (users of `wxmint users add`), or the https URL of your own account service",
            zh: "[用户从哪里来](accounts.zh-CN.md)：`auto`（首次登录时创建用户）、`file:PATH`（用 `wxmint users add` 添加的用户），或者你自己的账号服务的 https URL",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_DANGEROUS_ACCOUNTS_OVER_HTTP",
        form: Form::Switch,
        default: "false",
        comment: "Whether your account service may be called over http on another machine. Whoever can read that network then reads users' passwords and phone numbers, and whoever can change its traffic can log in as any user.",
        meaning: Texts {
            en: "whether your account service may be called [over http](accounts.md#in-production) on another machine",
            zh: "是否允许[通过 http](accounts.zh-CN.md#生产环境) 请求别的机器上的账号服务。能监听这段网络的人可以读到密码和手机号，能篡改流量的人可以用任意用户登录",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_AUTO_PROVISION",
        form: Form::Switch,
        default: "false",
        comment: "With file: and https: whether a person who is bound to no user gets a new user (true) or is asked for a password (false).",
        meaning: Texts {
            en: "if `WXMINT_ACCOUNTS` is `file:` or https: whether a person without a binding gets a new user without being asked",
            zh: "使用 `file:` 或 https 时，是否直接为未绑定的人创建用户；`false` 表示要求输入密码",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_ACCOUNTS_CHECK",
        form: Form::Switch,
        default: "false",
        comment: "With https: whether your account service is asked at each login if the user may log in, and for claims of the token.",
        meaning: Texts {
            en: "if `WXMINT_ACCOUNTS` is https: whether wxmint asks your service [at each login](accounts.md#asked-at-each-login) if the user may log in, and which claims the token gets",
            zh: "使用 https 时，[每次登录](accounts.zh-CN.md#每次登录都询问)是否都询问你的服务：该用户能否登录，token 里要写哪些声明",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_USER_IDS",
        form: Form::Words(Texts {
            en: "random, openid or unionid",
            zh: "random、openid 或 unionid",
        }),
        default: "random",
        comment: "How user ids come about (docs/user-ids.md). random: a first login draws one, and Redis alone remembers it. openid, unionid: computed with the id key from the AppID and openid, or from the unionid, so that nobody gets another id if Redis is lost. Only with WXMINT_ACCOUNTS=auto.",
        meaning: Texts {
            en: "how [user ids](user-ids.md) come about: `random` draws them at random, and `openid` or `unionid` computes them from the person's openid or unionid",
            zh: "[用户 ID](user-ids.zh-CN.md) 如何产生：random 随机生成，openid 或 unionid 由其计算",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_ID_KEY_FILE",
        form: Form::Words(Texts {
            en: "a file that only its owner can read, with base64 of 32 bytes in one line; make one with: wxmint keys id-key id.key",
            zh: "ID 密钥文件，用于计算用户 ID，一行 32 字节的 base64，不轮换，需永久备份",
        }),
        example: "id.key",
        comment: "The id key, required with openid and unionid. It does not rotate: under another key everybody gets another user id. Keep a backup for good, apart from the other keys.",
        meaning: Texts {
            en: "the file of the id key, with which wxmint computes user ids",
            zh: "ID 密钥文件，用于计算用户 ID，一行 32 字节的 base64，不轮换，需永久备份",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_USER_INDEX",
        form: Form::Switch,
        default: "true",
        comment: "With openid and unionid: whether the people of a user can be found by the user id. Without it wxmint's paths for session keys, phone numbers and unbinding answer 403, because a token does not name its person.",
        meaning: Texts {
            en: "whether wxmint can find the WeChat identities of a user with a computed id. If it is `false`, the routes for identities, session keys, phone numbers and unbinding answer 403",
            zh: "能否找到计算出的用户有哪些微信身份，true 或 false；设为 false 时，查微信身份、session_key、手机号和解除绑定的路径返回 403",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_BINDINGS_PER_USER",
        form: Form::Number {
            least: 1,
            most: 1000,
        },
        default: "1",
        comment: "How many WeChat identities one user may have in one mini program.",
        meaning: Texts {
            en: "how many WeChat identities one user may have in one mini program",
            zh: "一个用户在一个小程序里最多绑定几个微信，{least} 到 {most}",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_SINGLE_SESSION",
        form: Form::Switch,
        default: "false",
        comment: "Whether a login ends the user's earlier tokens of the same mini program, so that each user has one device at a time. A login then costs two more round trips to Redis.",
        meaning: Texts {
            en: "whether a login revokes the user's earlier tokens of the same mini program. Each login then costs two more round trips to Redis",
            zh: "登录时是否吊销该用户在同一小程序里更早的 token（互踢）；开启后每次登录多两次 Redis 往返",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_LOGIN_PATHS",
        form: Form::Words(Texts {
            en: "paths that wxmint does not use itself, separated by commas",
            zh: "wxmint 自己没有使用的路径，用逗号分隔",
        }),
        example: "/user/login,/api/login",
        comment: "For mini programs that were written for another back end: further paths of the login.",
        meaning: Texts {
            en: "further paths of the login, for [pages that were written for another back end](mini-program.md#pages-that-were-written-for-another-back-end)",
            zh: "更多的登录路径，供[原来请求别的后端的小程序页面](mini-program.zh-CN.md#为其他后端编写的页面)使用，页面不用改；多个用逗号分隔",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_TOKEN_ALIASES",
        form: Form::Words(Texts {
            en: "names of letters, digits and _ that the answer does not contain yet, separated by commas",
            zh: "名称由字母、数字和 _ 组成，响应里还没有，用逗号分隔",
        }),
        example: "sessionId,token",
        comment: "For the same mini programs: further names of the token in the answer to a login.",
        meaning: Texts {
            en: "further names of the token in the login's answer, for the same pages",
            zh: "登录响应里 token 的其他名称，用途同上；由字母、数字和 `_` 组成，多个用逗号分隔",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_DANGEROUS_PASSWORD_IN_QUERY",
        form: Form::Switch,
        default: "false",
        comment: "For the same mini programs: whether a password may stand in the URL of a GET, where logs keep it.",
        meaning: Texts {
            en: "whether a GET may have a password in its URL, for the same pages",
            zh: "是否允许 GET 请求的 URL 里有密码，用途同上。URL 会留在各处的日志里",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_TRUSTED_PROXIES",
        form: Form::Words(Texts {
            en: "addresses or networks of your proxies (192.0.2.0/28,2001:db8::/64) and private, separated by commas; or none alone",
            zh: "代理的地址或网段（192.0.2.0/28,2001:db8::/64）以及 private，用逗号分隔；none 只能单独写",
        }),
        default: "private",
        comment: "Whose X-Forwarded-For wxmint believes. The client, by whose address logins are counted, is the rightmost address that is no such proxy. private: loopback, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, link-local and fc00::/7. Any machine there that reaches wxmint, or a proxy before it, can then choose the address by which it is counted.",
        meaning: Texts {
            en: "[the proxies](operation.md#the-proxy-in-front) whose `X-Forwarded-For` wxmint believes: addresses, networks and `private` (loopback, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, link-local and fc00::/7), separated by commas; or `none`",
            zh: "[可信代理](operation.zh-CN.md#前面的反向代理)，只采信它们发来的 `X-Forwarded-For`：地址、网段和 `private`（本机、10.0.0.0/8、172.16.0.0/12、192.168.0.0/16、100.64.0.0/10、链路本地地址和 fc00::/7），用逗号分隔；`none` 表示都不采信",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_LIMIT_IP",
        form: LIMIT,
        default: "600/5m",
        comment: "The limit of logins from one address.",
        meaning: Texts {
            en: "how many logins one address may have in the time after the slash. For IPv6, a /64 counts as one address, and an address within `64:ff9b::/96` counts as the IPv4 address in it. Every limit is {least} to {most} in {shortest} to {longest}",
            zh: "每个地址（IPv6 按 /64；`64:ff9b::/96` 内的地址按其中的 IPv4 地址）的登录次数，写成 `次数/时间`：在任意一段这样的时间里，最多允许这么多次。各项限额的次数为 {least} 到 {most}，时间为 {shortest} 到 {longest}",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_LIMIT_OPENID",
        form: LIMIT,
        default: "30/5m",
        comment: "The limit of logins of one person.",
        meaning: Texts {
            en: "how many logins one person may have in the time after the slash. `/logout`, `/wechat/phone`, `/wechat/session`, `/wechat/session/reset`, `/wechat/userdata` and, on the admin listener, `encrypt-keys` each have a counter of their own with the same limit. The eighth failure of `/wechat/userdata` deletes the session key. A person can dissolve 10 bindings a day, whatever is set here",
            zh: "每个人的登录次数。`/logout`、`/wechat/phone`、`/wechat/session`、`/wechat/session/reset`、`/wechat/userdata`（第八次失败会删除 session_key）以及管理端口的 `encrypt-keys` 也各自按同样的次数限制。每个人每天最多解除 10 次绑定，与此设置无关",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_LIMIT_USERNAME",
        form: LIMIT,
        default: "10/5m",
        comment: "The limit of wrong passwords that one person sends for one user name.",
        meaning: Texts {
            en: "how many failed passwords one person may have for one user name in the time after the slash",
            zh: "一个人对一个用户名输错密码的次数",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_LIMIT_OPEN_REQUESTS",
        form: Form::Number {
            least: 1,
            most: 10_000,
        },
        default: "300",
        comment: "The limit of pages that wait for a phone at one address at a time (scan to log in), at all clients together. A page whose user has logged in counts no more.",
        meaning: Texts {
            en: "how many pages of one address may wait for a phone at the same time ([scan to log in](scan-login.md#limits)), at all clients together, {least} to {most}. A page whose user has logged in counts no more. 300 are enough for an office of 200 people who share an address. Set more for a larger office",
            zh: "同一个地址同时等待手机确认的页面数（[扫码登录](scan-login.zh-CN.md#限额)），所有客户端合计，{least} 到 {most}。用户登录成功的页面不再计数。300 足够 200 人共用一个出口地址的办公室；人更多时请调大",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_PHONE_NUMBERS_PER_PERSON",
        form: Form::Number {
            least: 1,
            most: 1000,
        },
        default: "10",
        comment: "How many phone numbers one person may have WeChat verify in a day, in each mini program. WeChat bills each of them.",
        meaning: Texts {
            en: "how many phone numbers one person may have WeChat verify in a day, in each mini program, {least} to {most}. WeChat bills each of them. A further one gets 429 `rate_limited`",
            zh: "一个人在一个小程序里每天最多通过微信验证几次手机号，{least} 到 {most}。微信按次收费；超出后返回 429 `rate_limited`",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_PHONE_NUMBERS_PER_APP",
        form: Form::Number {
            least: 1,
            most: 100_000_000,
        },
        default: "10000",
        comment: "How many phone numbers all people of one mini program may have WeChat verify in a day. WeChat bills each of them. An alert fires at half of this number.",
        meaning: Texts {
            en: "how many phone numbers all people of one mini program together may have WeChat verify in a day, {least} to {most}. [An alert](runbook.md#wxmintmanyphonenumbers) fires at half",
            zh: "一个小程序的所有用户每天最多通过微信验证几次手机号，{least} 到 {most}；达到一半时[告警](runbook.zh-CN.md#wxmintmanyphonenumbers)",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_USER_DATA_MAX_AGE",
        form: Form::Time {
            least: "1s",
            most: "30d",
        },
        default: "10m",
        comment: "The greatest age, by its watermark, of user data that a mini program sends for decryption.",
        meaning: Texts {
            en: "the greatest age of [user data](mini-program.md#user-data) that wxmint decrypts, {least} to {most}",
            zh: "wxmint 解密的[用户数据](mini-program.zh-CN.md#用户数据)最多可以有多旧，{least} 到 {most}",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_WECHAT_URL",
        form: Form::Words(Texts {
            en: "an https URL (http only on loopback)",
            zh: "https URL（只有本机地址可以用 http）",
        }),
        default: "https://api.weixin.qq.com",
        comment: "WeChat's API, or a stand-in such as `wxmint simulator`.",
        meaning: Texts {
            en: "the URL of WeChat's API, or of a [simulator](simulator.md)",
            zh: "微信接口的地址，也可以是[模拟器](simulator.zh-CN.md)",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_OTHER_PLATFORMS_URL",
        form: Form::Words(Texts {
            en: "an https URL (http only on loopback)",
            zh: "https URL（只有本机地址可以用 http）",
        }),
        example: "http://127.0.0.1:8090",
        comment: "A stand-in such as `wxmint simulator`, which is asked in place of Douyin, QQ, Kuaishou, Bilibili, Huawei and Alipay. Leave it out to ask the platforms themselves.",
        meaning: Texts {
            en: "the URL of a [simulator](simulator.md) that is asked in place of [the other platforms](other-platforms.md) (Douyin, QQ, Kuaishou, Bilibili, Huawei, Alipay). Without it, they are asked themselves",
            zh: "代替[其他平台](other-platforms.zh-CN.md)（抖音、QQ、快手、哔哩哔哩、华为、支付宝）的[模拟器](simulator.zh-CN.md)地址；不设置时直接访问各平台",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_WECHAT_PROXY",
        form: Form::Words(Texts {
            en: "http://[user:password@]host[:port] or https://[user:password@]host[:port]; in user and password %40 for @, %3A for :, %2F for /, %25 for %",
            zh: "http://[用户名:密码@]主机[:端口] 或 https://…；用户名和密码里的 @ 写成 %40，: 写成 %3A，/ 写成 %2F，% 写成 %25",
        }),
        example: "http://proxy.example.com:3128",
        may_be_in_file: true,
        comment: "The HTTP proxy by which calls of WeChat and of other platforms leave your network, and nothing else does. wxmint does not read HTTPS_PROXY. Only with an https WXMINT_WECHAT_URL. A change, also of the file, needs a restart.",
        meaning: Texts {
            en: "the [HTTP proxy](operation.md#wechat-through-an-http-proxy) by which calls of WeChat and of [other platforms](other-platforms.md) leave your network: `http://[user:password@]host[:port]`, or `https://…`. `HTTPS_PROXY` is not read",
            zh: "访问微信和[其他平台](other-platforms.zh-CN.md)时使用的[出网 HTTP 代理](operation.zh-CN.md#通过-http-代理访问微信)，写成 `http://[用户名:密码@]主机[:端口]` 或 `https://…`。其他请求不走这个代理；wxmint 不读取 `HTTPS_PROXY`。修改后（包括修改文件）需要重启",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_LOG_FORMAT",
        read_by: BOTH,
        form: Form::Words(Texts {
            en: "json, text, or auto, which is text on a terminal and json elsewhere",
            zh: "日志格式：json、text 或 auto（在终端里是文本，其他情况是 JSON）",
        }),
        default: "auto",
        comment: "How log lines look. RUST_LOG sets their levels (default: info).",
        meaning: Texts {
            en: "`json`, `text`, or `auto`: text on a terminal, JSON elsewhere",
            zh: "日志格式：`json`、`text` 或 `auto`（在终端里是文本，其他情况是 JSON）。日志级别由 `RUST_LOG` 决定",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_LOG_ADDRESSES",
        form: Form::Switch,
        default: "false",
        comment: "Whether log lines name the client's address, as the limits count it. Audit events always do.",
        meaning: Texts {
            en: "whether [log lines](operation.md#logs) name the client's address, as the limits count it. Audit events always name it",
            zh: "[日志](operation.zh-CN.md#日志)中是否写出客户端地址（与限流所用的地址相同）；审计事件中始终有",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "WXMINT_AUDIT",
        form: Form::Words(Texts {
            en: "log, off, or file:PATH for a file to which JSON lines are appended",
            zh: "log、off，或 file:路径（以 JSON 行追加写入）",
        }),
        default: "log",
        comment: "Where audit events go: logins, logouts, bindings, operators' acts, reloads (docs/operators.md). log: among the lines of the log.",
        meaning: Texts {
            en: "where [audit events](operators.md#audit) go: `log` (target `audit`), `file:PATH` (JSON lines are appended), or `off`",
            zh: "[审计事件](operators.zh-CN.md#审计)写到哪里：`log`（target 为 `audit`）、`file:PATH`（追加 JSON 行）或 `off`",
        },
        ..ISSUER_SETTING
    },
    // The log reads this variable, and the settings do not. Only the pages name it.
    Declaration {
        name: "RUST_LOG",
        read_by: &[],
        default: "info",
        meaning: Texts {
            en: "the log levels",
            zh: "日志级别",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "OTEL_EXPORTER_OTLP_ENDPOINT",
        form: Form::Words(Texts {
            en: "the https or http URL of a collector, without query",
            zh: "span 以 OTLP over HTTP 发往哪里：collector 的 URL，wxmint 会在后面加上 /v1/traces",
        }),
        example: "http://otel-collector:4318",
        comment: "Traces (docs/operation.md): where spans go, as OTLP over HTTP; without it none are made. wxmint adds /v1/traces to the path. Of OpenTelemetry's other variables OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES and OTEL_BSP_... hold too.",
        meaning: Texts {
            en: "the URL of the collector to which wxmint sends [spans](operation.md#traces), as OTLP over HTTP. wxmint adds `/v1/traces` to this URL. Without this setting wxmint makes no spans",
            zh: "[span](operation.zh-CN.md#链路追踪) 以 OTLP over HTTP 发往哪里：collector 的 URL，wxmint 会在后面加上 `/v1/traces`。不设置就不产生 span",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        form: Form::Words(Texts {
            en: "the https or http URL to which spans are posted, without query",
            zh: "接收 span 的完整 URL（https 或 http），不带查询参数",
        }),
        example: "http://otel-collector:4318/v1/traces",
        comment: "Instead, the whole URL, to which nothing is added.",
        meaning: Texts {
            en: "the whole URL, in place of the setting above",
            zh: "代替上一项，写完整的 URL",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "OTEL_EXPORTER_OTLP_PROTOCOL",
        form: Form::Words(Texts {
            en: "http/protobuf, the only one that wxmint has; the collector's port for it is usually 4318",
            zh: "http/protobuf，wxmint 只支持这一种；collector 对应的端口一般是 4318",
        }),
        default: "http/protobuf",
        comment: "The protocol of OTLP.",
        meaning: Texts {
            en: "the only protocol of OTLP that wxmint has",
            zh: "wxmint 只支持这一种 OTLP 协议",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "OTEL_EXPORTER_OTLP_HEADERS",
        form: Form::Words(Texts {
            en: "names and values of headers, each pair with =, separated by commas; a value may use %20 and the like",
            zh: "发给 collector 的请求头，写成 名称=值，多个用逗号分隔",
        }),
        example: "authorization=Bearer%20secret",
        comment: "Headers of the requests to the collector, perhaps with a secret, which wxmint never prints.",
        meaning: Texts {
            en: "headers for the collector (`authorization=Bearer%20…`), which wxmint never prints",
            zh: "发给 collector 的请求头，写成 `名称=值`，多个用逗号分隔。其中可能有敏感信息，wxmint 从不输出",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "OTEL_EXPORTER_OTLP_TIMEOUT",
        form: Form::Number {
            least: 1,
            most: 60_000,
        },
        form_words: Some(Texts {
            en: "a number of milliseconds from {least} to {most}",
            zh: "每次发送最多等 collector 多少毫秒，{least} 到 {most}",
        }),
        default: "10000",
        comment: "How long the collector may take for one request.",
        meaning: Texts {
            en: "how many milliseconds the collector may take for one request, {least} to {most}",
            zh: "每次发送最多等 collector 多少毫秒，{least} 到 {most}",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "OTEL_TRACES_SAMPLER",
        form: Form::Words(Texts {
            en: "always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or parentbased_traceidratio",
            zh: "采样哪些请求：always_on、always_off、traceidratio，或在它们前面加 parentbased_；每秒最多采样 50 个，其中带 traceparent 的最多 25 个",
        }),
        default: "parentbased_always_on",
        comment: "Which requests get spans. parentbased: those whose caller's traceparent says so, and of those without one as the rest of the name says. Never more than 50 requests a second.",
        meaning: Texts {
            en: "which requests [are sampled](operation.md#traces): `always_on`, `always_off`, `traceidratio`, or one of these with `parentbased_` before it. wxmint never samples more than 50 requests a second, and never more than 25 of them because of a caller's `traceparent`",
            zh: "[采样](operation.zh-CN.md#链路追踪)哪些请求：`always_on`、`always_off`、`traceidratio`，或在它们前面加 `parentbased_`；每秒最多采样 50 个，其中带 `traceparent` 的最多 25 个",
        },
        ..ISSUER_SETTING
    },
    Declaration {
        name: "OTEL_TRACES_SAMPLER_ARG",
        form: Form::Words(Texts {
            en: "a number from 0 to 1",
            zh: "traceidratio 的采样比例，0 到 1",
        }),
        default: "1",
        comment: "Of traceidratio and parentbased_traceidratio: which part of the requests.",
        meaning: Texts {
            en: "the part of the requests that `traceidratio` samples, 0 to 1",
            zh: "`traceidratio` 的采样比例，0 到 1",
        },
        ..ISSUER_SETTING
    },
];

/// The settings that only `wxmint sidecar` reads.
const OF_SIDECAR: &[Declaration] = &[
    Declaration {
        name: "WXMINT_JWKS_URL",
        required_by: SIDECAR,
        form: Form::Words(Texts {
            en: "the https URL of each issuer's JWKS (http only on loopback), in the order of WXMINT_ISSUER, separated by commas",
            zh: "各签发方 JWKS 的 https URL，用逗号分隔，个数和顺序都要与 WXMINT_ISSUER 一致",
        }),
        example: "https://login.example.com/.well-known/jwks.json",
        comment: "Required. Where the issuers publish their keys.",
        meaning: Texts {
            en: "the https URLs of the issuers' JWKS, separated by commas. There must be one for each issuer, in the order of `WXMINT_ISSUER`",
            zh: "各签发方 JWKS 的 https URL，用逗号分隔，个数和顺序都要与 `WXMINT_ISSUER` 一致",
        },
        ..SIDECAR_SETTING
    },
    Declaration {
        name: "WXMINT_JWKS_CACHE",
        form: Form::Words(Texts {
            en: "a folder that nobody else can write",
            zh: "保存最近一份可用公钥的目录，其他用户不能写入；使 sidecar 在签发方不可用时也能重启",
        }),
        example: "/var/cache/wxmint",
        comment: "Where the last good keys are kept, so that the sidecar can verify after a restart while the issuer is unreachable.",
        meaning: Texts {
            en: "a folder in which the sidecar stores the last good keys, so that a restart works while the issuer cannot be reached. No other user may have the right to write there",
            zh: "保存最近一份可用公钥的目录，其他用户不能写入；使 sidecar 在签发方不可用时也能重启",
        },
        ..SIDECAR_SETTING
    },
    // Keys are fetched again every 10 minutes at the latest. With the default WXMINT_TOKEN_TTL
    // tokens last a day.
    Declaration {
        name: "WXMINT_JWKS_MAX_AGE",
        form: Form::Time {
            least: "15m",
            most: "30d",
        },
        default: "24h",
        comment: "How long the sidecar believes the keys after the issuer last confirmed them. Then it answers 503.",
        meaning: Texts {
            en: "how long the sidecar uses the keys after the issuer last confirmed them, {least} to {most}. After that, the answer to every token is 503",
            zh: "签发方最近一次确认公钥之后，公钥在多长时间内有效，{least} 到 {most}；超过后所有 token 都返回 503",
        },
        ..SIDECAR_SETTING
    },
    Declaration {
        name: "WXMINT_REVOCATIONS_URL",
        form: Form::Words(Texts {
            en: "the http or https URL of each issuer's feed, or off, in the order of WXMINT_ISSUER, separated by commas; or off alone, to follow none",
            zh: "各签发方吊销 feed 的地址，顺序与 WXMINT_ISSUER 一致，不跟踪的写 off；只写一个 off 表示全部不跟踪",
        }),
        example: "https://login.example.com/revocations",
        default_words: Some(Texts {
            en: "the URL of `WXMINT_JWKS_URL`, with `/revocations` in place of `/.well-known/jwks.json`",
            zh: "把 `WXMINT_JWKS_URL` 的 `/.well-known/jwks.json` 换成 `/revocations`",
        }),
        comment: "Where the issuers publish what has been revoked (docs/revocation.md). Default: WXMINT_JWKS_URL with /revocations for /.well-known/jwks.json.",
        meaning: Texts {
            en: "the URLs of the issuers' [revocation feeds](revocation.md), in the order of `WXMINT_ISSUER`. Write `off` in place of a feed that the sidecar shall not follow. With `off` alone it follows none",
            zh: "各签发方[吊销 feed](revocation.zh-CN.md) 的地址，顺序与 `WXMINT_ISSUER` 一致，不跟踪的写 `off`；只写一个 `off` 表示全部不跟踪",
        },
        ..SIDECAR_SETTING
    },
    Declaration {
        name: "WXMINT_REVOCATIONS_MAX_AGE",
        form: Form::Time {
            least: "15s",
            most: "30d",
        },
        default: "60s",
        comment: "How old the newest page of the feed may be.",
        meaning: Texts {
            en: "how old the newest page of the feed may be, {least} to {most}",
            zh: "吊销记录最新一页的时间与现在最多相差多少，{least} 到 {most}",
        },
        ..SIDECAR_SETTING
    },
    Declaration {
        name: "WXMINT_REVOCATIONS_FAIL",
        form: Form::Words(Texts {
            en: "open or closed",
            zh: "open 或 closed",
        }),
        default: "open",
        comment: "What happens to tokens while the newest page is older: accept those that no known revocation names (open), or answer 503 (closed).",
        meaning: Texts {
            en: "what the sidecar does while the newest page is older than that. With `open` it accepts the tokens that it does not know to be revoked. With `closed` it answers 503 to them: [how to choose](revocation.md#open-or-closed)",
            zh: "最新一页超过上述时间后[如何处理 token](revocation.zh-CN.md#open-还是-closed)：只拒绝已知被吊销的（`open`），或者对其余的也返回 503（`closed`）",
        },
        ..SIDECAR_SETTING
    },
    Declaration {
        name: "WXMINT_SIDECAR_LISTEN",
        form: Form::Words(Texts {
            en: "an address and a port that only the proxy can reach",
            zh: "地址:端口，只有代理能访问",
        }),
        default: "127.0.0.1:8181",
        comment: "Where the proxy asks: /verify.",
        meaning: Texts {
            en: "the address at which the proxy asks `/verify`. Let nobody else reach it",
            zh: "代理请求 `/verify` 的地址，只能让代理访问",
        },
        ..SIDECAR_SETTING
    },
    Declaration {
        name: "WXMINT_SIDECAR_CLAIMS",
        form: Form::Words(Texts {
            en: "claims, each with a header of its own that begins with X-, separated by commas",
            zh: "作为请求头传给业务服务的声明（roles=X-User-Roles），请求头的名称以 X- 开头：文本和数字原样传递，数组用逗号连接，对象写成 JSON",
        }),
        example: "roles=X-User-Roles,tenant=X-Tenant",
        comment: "Claims that the sidecar hands on as headers, beside X-User-Id, X-Client-Id and X-Token-Id. The proxy must replace the client's headers of these names, as it does for X-User-Id.",
        meaning: Texts {
            en: "claims that the sidecar passes on as headers, such as `roles=X-User-Roles`. The names of the headers must begin with `X-`. Texts and numbers are passed on as they are, lists are joined by commas, and objects are written as JSON. The header is empty if the token lacks the claim, if a text has characters other than visible ASCII and inner spaces, or if an element of a list contains a comma. The proxy must replace the client's headers of these names",
            zh: "作为请求头传给业务服务的声明（`roles=X-User-Roles`），请求头的名称以 `X-` 开头：文本和数字原样传递，数组用逗号连接，对象写成 JSON。以下情况请求头为空：token 没有该声明；文本里有可见 ASCII 以外的字符（中间的空格可以；对象里的会转义）；数组元素含有逗号。代理必须覆盖客户端发来的同名请求头",
        },
        ..SIDECAR_SETTING
    },
    Declaration {
        name: "WXMINT_DANGEROUS_JWKS_OVER_HTTP",
        form: Form::Switch,
        default: "false",
        comment: "Whether keys may come over http from another machine. Whoever can answer in the issuer's place can then sign tokens.",
        meaning: Texts {
            en: "whether the keys may come over http from another machine. Whoever can change that traffic can then forge tokens",
            zh: "是否允许通过 http 从别的机器获取公钥。能篡改这段网络流量的人可以伪造 token",
        },
        ..SIDECAR_SETTING
    },
];
