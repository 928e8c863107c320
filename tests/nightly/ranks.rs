//! Whether samples look as if they were drawn alike: the rank test of Kruskal and Wallis (1952), which for two samples is
//! that of Mann and Whitney.
//!
//! Its p is found by dealing the ranks out anew again and again, and not from a table: exact with ties and few samples,
//! and whatever the noise is like, since the order in which the samples were taken was drawn by lot as well.

use fastrand::Rng;

/// How often ranks dealt out by lot differ between the samples at least as much as these do.
pub(crate) fn p_of(samples: &[&[f64]], deals: u32, rng: &mut Rng) -> f64 {
    let mut ranks = ranks(&samples.concat());
    let sizes: Vec<usize> = samples.iter().map(|sample| sample.len()).collect();
    // Equal but for the order in which they are added.
    let found = spread(&ranks, &sizes) * (1.0 - 1e-12);
    let mut as_far = 1;
    for _ in 0..deals {
        rng.shuffle(&mut ranks);
        as_far += u32::from(spread(&ranks, &sizes) >= found);
    }
    f64::from(as_far) / f64::from(deals + 1)
}

/// Grows with the statistic H, and only that matters: the rest of H is the same for all deals.
fn spread(mut ranks: &[f64], sizes: &[usize]) -> f64 {
    let mut squares = 0.0;
    for &size in sizes {
        let (sample, others) = ranks.split_at(size);
        squares += sample.iter().sum::<f64>().powi(2) / size as f64;
        ranks = others;
    }
    squares
}

/// The rank of each value, from 1; equal values share the middle of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&one, &other| values[one].total_cmp(&values[other]));
    let (mut ranks, mut next) = (vec![0.0; values.len()], 0.0);
    for equal in order.chunk_by(|&one, &other| values[one] == values[other]) {
        let count = equal.len() as f64;
        equal.iter().for_each(|&index| ranks[index] = next + (count + 1.0) / 2.0);
        next += count;
    }
    ranks
}

#[test]
fn equal_values_share_the_middle_of_their_ranks() {
    assert_eq!(ranks(&[30.0, 10.0, 20.0, 20.0]), [4.0, 1.0, 2.5, 2.5]);
    assert_eq!(ranks(&[7.0, 7.0, 7.0]), [2.0; 3]);
}

/// Counted by hand: of all ways to deal the ranks out, those that part the samples at least as far.
#[test]
fn p_is_that_of_all_ways_to_deal_the_ranks_out() {
    let mut rng = Rng::with_seed(4);
    for (samples, exact) in [
        (&[&[1.0, 2.0, 3.0][..], &[4.0, 5.0, 6.0]][..], 2.0 / 20.0),
        (&[&[1.0, 2.0], &[3.0, 4.0], &[5.0, 6.0]], 6.0 / 90.0),
        (&[&[1.0, 2.0, 4.0], &[3.0, 5.0, 6.0]], 4.0 / 20.0),
        (&[&[1.0, 2.0], &[2.0, 3.0]], 4.0 / 6.0),
        (&[&[5.0, 5.0], &[5.0, 5.0]], 1.0),
    ] {
        let found = p_of(samples, 20_000, &mut rng);
        assert!((found - exact).abs() < 0.01, "{samples:?}: {found} and not {exact}");
    }
}

#[test]
fn what_is_drawn_alike_is_seldom_found_to_differ_and_what_is_later_always() {
    let mut rng = Rng::with_seed(4);
    let mut found = 0;
    for _ in 0..100 {
        let sample: Vec<Vec<f64>> = (0..4).map(|_| (0..50).map(|_| rng.f64()).collect()).collect();
        let mut samples: Vec<&[f64]> = sample.iter().map(Vec::as_slice).collect();
        found += u32::from(p_of(&samples, 199, &mut rng) <= 0.05);
        let later: Vec<f64> = sample[0].iter().map(|value| value + 0.5).collect();
        samples[0] = &later;
        assert!(p_of(&samples, 199, &mut rng) <= 0.005);
    }
    assert!((1..=12).contains(&found), "{found} of 100, where 5 are to be expected");
}
