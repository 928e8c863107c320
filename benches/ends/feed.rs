//! What the feed costs when a thousand sidecars ask it, each every 5 s, while tokens are ended.

use std::{
    iter,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::Runtime,
    task::JoinSet,
    time::{Instant, interval, interval_at, sleep},
};
use wxmint::{http::now, store::Ended, token::new_token_id};

use crate::{
    Fault, Plan,
    million::page,
    report::Report,
    stage::{Cpu, Stage},
};

const SIDECARS: u32 = 1_000;
const EVERY: Duration = Duration::from_secs(5);
/// From one end to the next, at a million a day.
const BETWEEN_ENDS: Duration = Duration::from_micros(86_400);

pub(crate) fn measure(plan: &Plan, runtime: &Runtime, report: &mut Report) -> Result<(), Fault> {
    runtime.block_on(async {
        let stage = Arc::new(Stage::start().await?);
        let mut tasks = JoinSet::new();
        tasks.spawn(tokens_end(Arc::clone(&stage)));
        eprintln!("feed: nobody asks, {:?}", plan.asking);
        let idle = used_within(&stage, plan.asking).await?;
        eprintln!("feed: {SIDECARS} sidecars ask, {:?}", plan.asking);
        let answers = Arc::<AtomicU64>::default();
        for number in 0..SIDECARS {
            tasks.spawn(asks(Arc::clone(&stage), EVERY * number / SIDECARS, Arc::clone(&answers)));
        }
        // By then each has asked, and knows a cursor.
        sleep(EVERY).await;
        let before = answers.load(Ordering::Relaxed);
        let used = used_within(&stage, plan.asking).await?;
        let answers = answers.load(Ordering::Relaxed) - before;
        if let Some(fault) = tasks.try_join_next() {
            fault??;
        }

        let seconds = plan.asking.as_secs_f64();
        let percent = |cpu: Duration| cpu.as_secs_f64() / seconds * 100.0;
        report.add("feed, 1,000 sidecars: questions a second", answers as f64 / seconds, 0, None);
        report.add("feed, 1,000 sidecars: CPU of the issuer, % of a core", percent(used.issuer), 2, None);
        report.add("feed, nobody asks: CPU of the issuer, % of a core", percent(idle.issuer), 2, None);
        report.add("feed, 1,000 sidecars: CPU of Redis, % of a core", percent(used.redis), 2, None);
        report.add("feed, nobody asks: CPU of Redis, % of a core", percent(idle.redis), 2, None);
        Ok(())
    })
}

async fn used_within(stage: &Stage, time: Duration) -> Result<Cpu, Fault> {
    let before = stage.cpu()?;
    sleep(time).await;
    before.since()
}

/// A sidecar that is up to date and stays so. It ends only by a fault.
async fn asks(stage: Arc<Stage>, first: Duration, answers: Arc<AtomicU64>) -> Result<(), Fault> {
    let mut due = interval_at(Instant::now() + first, EVERY);
    let mut cursor = String::new();
    loop {
        due.tick().await;
        let page = page(&stage.scene.bed.http.0, &stage.feed_url(&cursor)).await?;
        cursor = page.ok_or("the feed has no time for a thousand sidecars")?.cursor;
        answers.fetch_add(1, Ordering::Relaxed);
    }
}

/// Tokens end, one after another. It ends only by a fault.
async fn tokens_end(stage: Arc<Stage>) -> Result<(), Fault> {
    let mut due = interval(BETWEEN_ENDS);
    loop {
        due.tick().await;
        let ended = Ended::Token { id: new_token_id()?, expires_at: now().timestamp() + 3600 };
        stage.write_ends(iter::once(("*".to_owned(), ended.to_string())))?;
    }
}
