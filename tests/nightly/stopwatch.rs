//! Refusals whose times must not tell why they were refused, beside a control whose time must.

use std::fmt::Debug;

use fastrand::Rng;

use crate::{ranks::p_of, support::tell};

/// A lower p says that times differ. By chance that happens once in a hundred measurements; twice, once in ten thousand.
const P: f64 = 0.01;
/// A measurement that does not find the control is taken again, because it would not find a defect either.
const MEASUREMENTS: usize = 4;
/// How often the ranks are dealt out anew for a p that is only reported.
const DEALS: u32 = 999;

pub(crate) struct Trial<K: 'static> {
    pub(crate) what: &'static str,
    /// Of each kind.
    pub(crate) samples: usize,
    pub(crate) alike: &'static [K],
    /// Measured and reported, but allowed to differ.
    pub(crate) others: &'static [K],
    /// Takes longer or shorter, as a kind would if a check ended early.
    pub(crate) control: K,
}

impl<K: Copy + Debug + PartialEq> Trial<K> {
    /// Fails if two measurements find a difference. `measure` takes the kinds in a random order, and returns a time for
    /// each of them.
    pub(crate) async fn run(&self, mut measure: impl AsyncFnMut(&[K]) -> Vec<f64>) {
        let (mut rng, mut differed) = (Rng::new(), Vec::new());
        for _ in 0..MEASUREMENTS {
            let order = self.order(&mut rng);
            let times = measure(&order).await;
            match self.report(&order, &times, &mut rng) {
                Some(p) if p > P => return,
                Some(p) => differed.push(p),
                None => {}
            }
            assert!(differed.len() < 2, "the times of {} differ: p = {differed:?}", self.what);
        }
        panic!("{}: fewer than two of {MEASUREMENTS} measurements found the control", self.what);
    }

    fn order(&self, rng: &mut Rng) -> Vec<K> {
        let mut order: Vec<K> = self.kinds().flat_map(|kind| vec![kind; self.samples]).collect();
        rng.shuffle(&mut order);
        order
    }

    fn kinds(&self) -> impl Iterator<Item = K> {
        self.alike.iter().chain(self.others).copied().chain([self.control])
    }

    /// The p of the kinds that must be alike, or `None` if the control was not found beside each of them.
    fn report(&self, order: &[K], times: &[f64], rng: &mut Rng) -> Option<f64> {
        let of = |kind: K| -> Vec<f64> {
            order.iter().zip(times).filter(|(measured, _)| **measured == kind).map(|(_, time)| *time).collect()
        };
        let alike: Vec<Vec<f64>> = self.alike.iter().copied().map(of).collect();
        let alike: Vec<&[f64]> = alike.iter().map(Vec::as_slice).collect();
        let p = p_of(&alike, 9_999, rng);
        let mut told = format!("{}, {} of each kind, by ranks: p = {p:.4}\n", self.what, self.samples);
        let mut control_is_found = true;
        for kind in self.kinds() {
            let sample = of(kind);
            let beside: Vec<f64> = alike.iter().map(|other| p_of(&[&sample, other], DEALS, rng)).collect();
            control_is_found &= kind != self.control || beside.iter().all(|p| *p < P);
            told += &format!("  {kind:?}: median {:.3}; p beside each of them {beside:.3?}\n", median(&sample));
        }
        told += &format!("  {:.3} more for one kind would have been found\n", found_from(&alike, rng));
        tell(&told);
        control_is_found.then_some(p)
    }
}

fn median(sample: &[f64]) -> f64 {
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// How much more time of the first kind would be found.
fn found_from(alike: &[&[f64]], rng: &mut Rng) -> f64 {
    let mut shifts = (0..).map(|power| 0.01 * f64::powi(2.0, power));
    let is_found = |shift: &f64| {
        let later: Vec<f64> = alike[0].iter().map(|time| time + shift).collect();
        p_of(&[&[later.as_slice()], &alike[1..]].concat(), DEALS, rng) < P
    };
    shifts.find(is_found).expect("an endless row")
}
