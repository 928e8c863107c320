//! Reads the AppSecrets again when their files change.

use std::{sync::Arc, time::Duration};

use crate::wechat::{CurrentApps, Reloaded};

/// How often the files are looked at; a change is to be in use within 5 s.
const INTERVAL: Duration = Duration::from_secs(2);

/// Watches for as long as the process runs.
pub(super) async fn keep_reading_apps(apps: Arc<CurrentApps>) {
    let mut interval = actix_web::rt::time::interval(INTERVAL);
    let mut told = None;
    loop {
        interval.tick().await;
        tell(apps.reload(), &mut told);
    }
}

/// A fault is told once, and its end.
fn tell(reloaded: Result<Reloaded, String>, told: &mut Option<String>) {
    match reloaded {
        Ok(_) if told.take().is_some() => tracing::info!("the files of the AppSecrets are fit to be used again"),
        Ok(_) => {}
        Err(reason) if told.as_ref() == Some(&reason) => {}
        Err(reason) => {
            tracing::error!(reason, "an AppSecret's file is not fit to be used; the AppSecret of before stays");
            *told = Some(reason);
        }
    }
}
