//! Redis is emptied each minute for ten minutes, under load.

use std::time::Duration;

use futures_util::future::join_all;

use crate::emptied::empty_under_load;
use crate::support::TestBed;

#[tokio::test]
async fn nobody_is_refused_or_another_user_while_redis_is_emptied_each_minute() {
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
    let each = ["openid", "unionid"].map(async |kind| {
        let bed = TestBed::builder().user_ids(kind, key).start().await;
        assert!(empty_under_load(&bed, 10, Duration::from_secs(60)).await > 10_000);
    });
    join_all(each).await;
}
