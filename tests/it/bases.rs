//! The SQL of docs/bases, on a MariaDB with the tables of the frameworks, and what `wxmint bindings import` makes of
//! its rows.

use crate::support::prelude::*;

/// The tables of a framework, as far as the page's query reads them, and rows of each kind.
struct Base {
    page: &'static str,
    tables: &'static str,
    /// The people who must come out, each with the user.
    users: &'static [(&'static str, &'static str)],
}

const BASES: [Base; 3] = [
    Base {
        page: "ruoyi",
        tables: "create table app_openid (openid varchar(64) not null, user_id bigint not null);
            insert into app_openid values
                ('oRuoyi0000000000000000000001', 101), ('oRuoyi0000000000000000000002', 1),
                ('', 102), ('oRuoyi0000000000000000000003', 9223372036854775807);",
        users: &[
            ("oRuoyi0000000000000000000001", "101"),
            ("oRuoyi0000000000000000000003", "9223372036854775807"),
        ],
    },
    Base {
        page: "yudao",
        tables: r#"create table system_social_user (id bigint primary key, type tinyint, openid varchar(32), raw_token_info varchar(1024), deleted bit(1) not null default 0);
            create table system_social_user_bind (user_id bigint, user_type tinyint, social_type tinyint, social_user_id bigint, tenant_id bigint, deleted bit(1) not null default 0);
            insert into system_social_user (id, type, openid, raw_token_info, deleted) values
                (1, 34, 'oYudao0000000000000000000001', '{"unionId":"uYudao0000000000000000000001"}', 0),
                (2, 34, 'oYudao0000000000000000000002', '{"unionId":""}', 0),
                (3, 34, 'oYudao0000000000000000000003', '{}', 0),
                (4, 34, 'oYudao0000000000000000000004', '{}', 1),
                (5, 34, 'oYudao0000000000000000000005', '{}', 0);
            insert into system_social_user_bind (user_id, user_type, social_type, social_user_id, tenant_id, deleted) values
                (247, 1, 34, 1, 1, 0), (248, 1, 34, 2, 1, 0), (1, 2, 34, 3, 1, 0), (249, 1, 34, 4, 1, 0),
                (250, 1, 34, 5, 2, 0), (251, 1, 34, 3, 1, 1);"#,
        users: &[
            ("oYudao0000000000000000000001", "247"),
            ("oYudao0000000000000000000002", "248"),
        ],
    },
    Base {
        page: "jeecg",
        tables: "create table sys_user (id varchar(32) primary key, username varchar(100), del_flag tinyint);
            create table sys_third_account (sys_user_id varchar(32), third_type varchar(50), third_user_uuid varchar(100), third_user_id varchar(100), del_flag tinyint);
            insert into sys_user values ('e9ca23d68d884d4ebb19d07889727dae', 'admin', 0),
                ('1958743326450987010', 'lin', 0), ('1958743326450987011', 'mei', 1), ('1958743326450987012', 'zhao', 0);
            insert into sys_third_account values
                ('e9ca23d68d884d4ebb19d07889727dae', 'wechat_mini', 'oJeecg0000000000000000000001', '', 0),
                ('1958743326450987010', 'wechat_mini', '', 'oJeecg0000000000000000000002', 0),
                ('1958743326450987011', 'wechat_mini', 'oJeecg0000000000000000000003', '', 0),
                ('1958743326450987012', 'wechat_mini', 'oJeecg0000000000000000000004', null, 0),
                ('1958743326450987012', 'dingtalk', 'oJeecg0000000000000000000005', '', 0);",
        users: &[
            ("oJeecg0000000000000000000002", "1958743326450987010"),
            ("oJeecg0000000000000000000004", "1958743326450987012"),
        ],
    },
];

/// The one block of SQL of the page, which is the same in both languages.
fn query(page: &str) -> String {
    let of = |ending: &str| {
        let path = repository(format!("docs/bases/{page}{ending}.md"));
        let text = fs::read_to_string(path).expect("the page");
        let mark = format!("<!-- sql: {page} -->\n```sql\n");
        let (_, rest) = text.split_once(&mark).expect("a marked block");
        rest.split_once("```").expect("its end").0.to_owned()
    };
    let query = of("");
    assert_eq!(query, of(".zh-CN"), "{page}");
    query
}

/// A server of MariaDB in a folder of its own, with a socket and no port.
struct MariaDb {
    folder: TempDir,
    _process: Process,
}

impl MariaDb {
    async fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let data = folder.path().join("data");
        let mut install = Command::new("mariadb-install-db");
        install.args(["--no-defaults", "--auth-root-authentication-method=normal"]);
        Ended::of(install.arg(format!("--datadir={}", data.display())), "").expect_success();
        let mut server = Command::new("mariadbd");
        server.args(["--no-defaults", "--skip-networking", "--user=root"]);
        server.arg(format!("--datadir={}", data.display()));
        server.arg(format!(
            "--socket={}",
            folder.path().join("socket").display()
        ));
        let process = Process::spawn("mariadbd", &mut server);
        let database = Self {
            folder,
            _process: process,
        };
        until("MariaDB answers", BUSY, async || {
            database.client(&["-e", "select 1"], "").code == Some(0)
        })
        .await;
        database
    }

    fn client(&self, arguments: &[&str], input: &str) -> Ended {
        let mut client = Command::new("mariadb");
        let socket = self.folder.path().join("socket");
        client
            .arg("--no-defaults")
            .arg(format!("--socket={}", socket.display()));
        Ended::of(client.args(["-uroot", "-N", "-r"]).args(arguments), input)
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs MariaDB; make nightly installs it"]
async fn the_sql_of_each_framework_exports_its_people_and_no_administrator() {
    let database = MariaDb::start().await;
    let redis = RedisServer::start(&[], "").await;
    let bindings = |words: &[&str]| {
        let mut command = command_on(&redis.url(), &[&["bindings"], words].concat());
        Ended::of(&mut command, "").expect_success().stdout
    };
    for Base {
        page,
        tables,
        users,
    } in BASES
    {
        let made = format!("create database {page}; use {page}; {tables}");
        database.client(&[], &made).expect_success();
        let table = database
            .client(&[page], &query(page))
            .expect_success()
            .stdout;
        assert_eq!(table.lines().count(), users.len(), "{page}: {table}");
        let file = database.folder.path().join(format!("{page}.ndjson"));
        fs::write(&file, table).expect("written");
        let file = file.to_str().expect("UTF-8");
        bindings(&["import", file, "--no-trailer", "--appid", APPID]);
        let exported = bindings(&["export"]);
        for (openid, user) in users {
            let line = exported
                .lines()
                .find(|line| line.contains(openid))
                .expect("a line");
            let line: Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(line["user_id"], json!(user), "{page}: {line}");
        }
    }
}
