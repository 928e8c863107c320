//! The command line of `wxmint simulator`. The program that runs it opens the listener.

#![expect(
    clippy::doc_markdown,
    reason = "the comments are the help that the terminal shows"
)]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use clap::Args;

use crate::{App, Platform, World, platform::pushes::is_receiver};

/// Where the simulator listens unless `--listen` says otherwise.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:8090";
/// The mini program that the simulator has unless `--app` names others: AppID and AppSecret.
pub const DEFAULT_APP: &str = "wxc0ffee0000000001:5ec2e700c0ffee005ec2e700c0ffee00";

const EXAMPLES: &str = r#"Give the phone of a person named lin a login code (this stands in for wx.login):
  curl -H 'Content-Type: application/json' -d '{"person":"lin"}' \
    http://127.0.0.1:8090/_simulator/codes

Exchange it, as a back end does:
  curl 'http://127.0.0.1:8090/sns/jscode2session?appid=APPID&secret=SECRET&js_code=CODE&grant_type=authorization_code'

Make three in ten answers "system error", and the others slow; then end the faults:
  curl -X PUT -H 'Content-Type: application/json' \
    -d '{"faults":[{"kind":"errcode","errcode":-1,"probability":0.3},{"kind":"latency","ms":300}]}' \
    http://127.0.0.1:8090/_simulator/faults
  curl -X DELETE http://127.0.0.1:8090/_simulator/faults

See what was asked and answered:
  curl http://127.0.0.1:8090/_simulator/journal"#;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct SimulatorArgs {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_ADDRESS)]
    pub listen: SocketAddr,
    /// Listen on an address that others can reach; they can then read every session_key
    #[arg(long)]
    dangerous_listen_anywhere: bool,
    /// An app; may be repeated. Without a kind, a mini program of WeChat; with douyin, douyin_game,
    /// qq, kuaishou, bilibili, huawei or alipay, one of that platform, which is asked below /_douyin and so on
    #[arg(long = "app", value_name = "APPID:SECRET[:KIND]", default_value = DEFAULT_APP)]
    apps: Vec<App>,
    /// Threads that serve
    #[arg(long, default_value_t = 1)]
    pub workers: usize,
    #[command(flatten)]
    options: Options,
}

// The options of a world. (As a docstring, this would be the help of the command.)
#[derive(Debug, Clone, Args)]
pub struct Options {
    // Codes and keys do not depend on it: a code that came again after a restart would be refused as used.
    /// Seed that decides when faults with a probability occur
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Delay of each of WeChat's answers, for example 50ms
    #[arg(long, value_name = "DURATION", default_value = "0ms", value_parser = duration)]
    pub latency: Duration,
    /// Life of an access token, for example 7200s
    #[arg(long, value_name = "DURATION", default_value = "7200s", value_parser = duration)]
    pub access_token_ttl: Duration,
    /// Keep no journal, for load tests
    #[arg(long)]
    pub no_journal: bool,
    /// Play a third-party platform, which any of the apps can authorise
    #[arg(
        long,
        value_name = "COMPONENT_APPID:COMPONENT_APPSECRET:TOKEN:ENCODING_AES_KEY"
    )]
    pub platform: Option<Platform>,
    /// Where the platform's pushes go; one with a ticket at once and every ten minutes
    #[arg(long, value_name = "URL", requires = "platform", value_parser = receiver)]
    pub push_to: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        let (latency, access_token_ttl) = (Duration::ZERO, Duration::from_hours(2));
        Self {
            seed: 0,
            latency,
            access_token_ttl,
            no_journal: false,
            platform: None,
            push_to: None,
        }
    }
}

impl SimulatorArgs {
    /// Returns why these arguments are refused; `None` if they are accepted.
    pub fn fault(&self) -> Option<String> {
        let listen = self.listen;
        (!listen.ip().is_loopback() && !self.dangerous_listen_anywhere).then(|| {
            format!(
                "{listen} can be reached by others, and the simulator shows every session_key to whoever asks.\n\
                 Use --listen 127.0.0.1:8090, or add --dangerous-listen-anywhere if only tests use the network."
            )
        })
    }

    /// The lines to print once the simulator listens on `address`.
    pub fn introduction(&self, address: SocketAddr) -> Vec<String> {
        let app = |app: &App| {
            let unionid = if app.unionid { "" } else { " (no unionid)" };
            let kind = app.kind.note();
            format!(
                "  AppID {}  AppSecret {}{kind}{unionid}",
                app.id, app.secret
            )
        };
        let mut lines = vec![format!("The stand-in WeChat listens on http://{address}")];
        lines.extend(self.apps.iter().map(app));
        let platform =
            |platform: &Platform| format!("  Third-party platform {}", platform.component_appid);
        lines.extend(self.options.platform.iter().map(platform));
        lines.push("A login code for a person named lin:".into());
        lines.push(format!(
            "  curl -H 'Content-Type: application/json' -d '{{\"person\":\"lin\"}}' http://{address}/_simulator/codes"
        ));
        lines
    }

    /// The world with these apps and options.
    pub fn into_world(self) -> Arc<World> {
        World::with_options(self.apps, self.options)
    }
}

fn receiver(text: &str) -> Result<String, &'static str> {
    let url = Some(text).filter(|url| is_receiver(url)).map(str::to_owned);
    url.ok_or("must be a URL with http or https, for example http://127.0.0.1:8080/wechat/platform/wx0123456789abcdef")
}

/// Parses a duration such as `50ms`, `30s`, `5m` or `2h`.
fn duration(text: &str) -> Result<Duration, &'static str> {
    let unit = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or_default();
    let millis = match &text[unit..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    let number = text[..unit].parse::<u32>().ok().filter(|_| millis > 0);
    let span = number.map(|number| Duration::from_millis(u64::from(number) * millis));
    span.ok_or("must be a whole number with ms, s, m or h, for example 50ms")
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("50ms"), Ok(Duration::from_millis(50)));
        assert_eq!(
            (duration("0ms"), duration("7200s")),
            (Ok(Duration::ZERO), duration("2h"))
        );
        for wrong in [
            "",
            "50",
            "ms",
            "-1s",
            "1.5s",
            "99999999999999999999h",
            "5 s",
        ] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn pushes_need_a_platform_and_a_url() {
        let read = |words: &[&str]| {
            let command =
                SimulatorArgs::augment_args(clap::Command::new("simulator").no_binary_name(true));
            let read = command.try_get_matches_from(words);
            read.and_then(|read| SimulatorArgs::from_arg_matches(&read))
                .map(SimulatorArgs::into_world)
        };
        let platform = "wx1:secret:token:abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
        let to = "http://127.0.0.1:8080/wechat/platform/wx1";
        assert!(
            read(&["--platform", platform, "--push-to", to])
                .is_ok_and(|world| world.component.is_some())
        );
        assert!(read(&[]).is_ok_and(|world| world.component.is_none()));
        assert!(read(&["--push-to", to]).is_err());
        assert!(read(&["--platform", platform, "--push-to", "127.0.0.1:8080"]).is_err());
    }

    #[test]
    fn the_introduction_names_the_platform_of_each_app() {
        let command =
            SimulatorArgs::augment_args(clap::Command::new("simulator").no_binary_name(true));
        let words = "--app wx1:secret --app tt1:secret:douyin --app tt2:secret:douyin_game \
                     --app 101:secret:qq:no-unionid --app ks1:secret:kuaishou --app bi1:secret:bilibili";
        let read = command.try_get_matches_from(words.split_whitespace());
        let arguments = read
            .and_then(|read| SimulatorArgs::from_arg_matches(&read))
            .expect("arguments");
        let lines = arguments.introduction(arguments.listen);
        assert_eq!(
            lines[1..7],
            [
                "  AppID wx1  AppSecret secret",
                "  AppID tt1  AppSecret secret (Douyin)",
                "  AppID tt2  AppSecret secret (Douyin, mini game)",
                "  AppID 101  AppSecret secret (QQ) (no unionid)",
                "  AppID ks1  AppSecret secret (Kuaishou) (no unionid)",
                "  AppID bi1  AppSecret secret (Bilibili) (no unionid)",
            ]
        );
    }

    #[test]
    fn an_app_is_read_and_its_secret_not_repeated() {
        let app: App = "wx1:s3cret:no-unionid".parse().expect("an app");
        assert_eq!(
            (app.id.as_str(), app.secret.as_str(), app.unionid),
            ("wx1", "s3cret", false)
        );
        assert!(
            DEFAULT_APP
                .parse::<App>()
                .is_ok_and(|app| app.unionid && app.secret.len() == 32)
        );
        for wrong in [
            "wx1",
            "wx1:",
            ":s3cret",
            "wx1:s3cret:unionid",
            "wx1:s3cret:no-unionid:x",
            "w x:s3cret",
        ] {
            assert!(
                wrong
                    .parse::<App>()
                    .is_err_and(|error| !error.to_string().contains("s3cret")),
                "{wrong}"
            );
        }
    }
}
