//! The paths of the public listener, each named once. The router takes its paths from here and from nowhere else, so that
//! `WXMINT_LOGIN_PATHS` can name none of them.

/// A path, or a pattern of paths, of the public listener. The constants of this file are all that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicPath(&'static str);

macro_rules! public_paths {
    ($($name:ident = $path:literal;)+) => {
        #[allow(missing_docs, reason = "a name says what its path says")]
        impl PublicPath {
            $(pub const $name: Self = Self($path);)+
        }
        const ALL: &[PublicPath] = &[$(PublicPath::$name),+];
    };
}

public_paths! {
    ROOT = "/";
    LOGIN = "/login";
    LOGOUT = "/logout";
    BINDING = "/binding";
    USER_DATA = "/wechat/userdata";
    PHONE = "/wechat/phone";
    SESSION = "/wechat/session";
    SESSION_RESET = "/wechat/session/reset";
    JWKS = "/.well-known/jwks.json";
    OPENID_CONFIGURATION = "/.well-known/openid-configuration";
    OAUTH_SERVER = "/.well-known/oauth-authorization-server";
    REVOCATIONS = "/revocations";
    OPENAPI = "/openapi.json";
    OPENAPI_IN_CHINESE = "/openapi.zh-CN.json";
    DOCS = "/docs";
    DOCS_FILE = "/docs/{file:.*}";
}

/// Below these, wxmint may answer further paths one day.
const FAMILIES: [&str; 2] = ["/.well-known/", "/wechat/"];

impl PublicPath {
    /// As the router takes it.
    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// Whether requests for `path` belong here. The case and a slash at the end make no difference, because some proxies
    /// change them.
    fn takes(self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        match self.0.split_once('{') {
            Some((folder, _)) => is_below(path, folder),
            None => path.eq_ignore_ascii_case(self.0),
        }
    }
}

/// Whether `path` can be a further path of the login.
pub(super) fn is_free(path: &str) -> bool {
    !ALL.iter().any(|taken| taken.takes(path)) && !FAMILIES.iter().any(|folder| is_below(path, folder))
}

fn is_below(path: &str, folder: &str) -> bool {
    path.get(..folder.len()).is_some_and(|start| start.eq_ignore_ascii_case(folder))
}
