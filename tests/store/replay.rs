//! The ring buffer against a plain queue.

use std::collections::VecDeque;

use hstep::Error;
use hstep::replay::{Replay, Rows, TransitionRow};
use hstep::rng::Rng;
use hstep::shape::{Spec, to_f64};
use proptest::prelude::*;

/// A buffer of 2-wide observations and 1-wide actions whose row `i` is made of `i`.
pub fn filled(capacity: usize, numbers: std::ops::Range<usize>) -> Replay {
    let mut replay = Replay::new(capacity, 2, 1).unwrap();
    numbers.for_each(|i| push(&mut replay, i));
    replay
}

/// Adds the row made of `i`.
pub fn push(replay: &mut Replay, i: usize) {
    let x = i as f32;
    let row = TransitionRow {
        obs: &[x, -x],
        action: &[x / 1e6],
        reward: x + 0.5,
        next_obs: &[x + 1.0, -x - 1.0],
        cont: (i % 2) as f32,
        own: Vec::new(),
    };
    replay.push(&row).unwrap();
}

fn numbers(replay: &Replay) -> Vec<usize> {
    let rows = replay.iter().map(|row| {
        let i = row.obs[0] as usize;
        // The columns must stay together.
        assert_eq!(row.reward, i as f32 + 0.5);
        assert_eq!(row.next_obs, [i as f32 + 1.0, -(i as f32) - 1.0]);
        assert_eq!((row.action[0], row.cont), (i as f32 / 1e6, (i % 2) as f32));
        i
    });
    rows.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn ring_is_a_queue_of_bounded_length(
        capacity in 1usize..20,
        steps in prop::collection::vec((0usize..30, 1usize..25), 1..8),
    ) {
        let (mut replay, mut queue) = (Replay::new(capacity, 2, 1).unwrap(), VecDeque::new());
        let mut next = 0;
        let mut capacity = capacity;
        for (rows, resized) in steps {
            for _ in 0..rows {
                push(&mut replay, next);
                queue.push_back(next);
                next += 1;
            }
            while queue.len() > capacity { queue.pop_front(); }
            prop_assert_eq!(&numbers(&replay), queue.make_contiguous());
            capacity = resized;
            replay.resize(capacity).unwrap();
            while queue.len() > capacity { queue.pop_front(); }
            prop_assert_eq!(&numbers(&replay), queue.make_contiguous());
            prop_assert_eq!((replay.len(), replay.capacity()), (queue.len(), capacity));
        }
    }
}

#[test]
fn batches_are_added_in_order_and_dead_rows_are_left_out() {
    let mut replay = filled(4, 0..3);
    let rows = Rows {
        obs: &[3.0, -3.0, f32::NAN, 0.0, 5.0, -5.0],
        action: &[3e-6, 0.0, 5e-6],
        reward: &[3.5, f32::NAN, 5.5],
        next_obs: &[4.0, -4.0, 0.0, 0.0, 6.0, -6.0],
        cont: &[1.0, 0.0, 1.0],
        own: Vec::new(),
    };
    let added = replay.push_batch(&rows, Some(&[true, false, true])).unwrap();
    assert_eq!((added, numbers(&replay)), (2, vec![1, 2, 3, 5]));

    // Without the mask the dead row is refused, and none of the three is added.
    let error = replay.push_batch(&rows, None).unwrap_err();
    assert!(matches!(&error, Error::NonFinite { quantity, step }
        if quantity == "obs of a transition" && step.starts_with("row 1 ")));
    assert_eq!(numbers(&replay), [1, 2, 3, 5]);
}

#[test]
fn tensors_go_in_as_they_come_out() {
    let source = filled(9, 0..12);
    for spec in [Spec::f32(), Spec::f64()] {
        let batch = source.last(9, &spec).unwrap();
        assert_eq!((batch.obs.dtype(), batch.len()), (spec.dtype, 9));
        let mut copy = Replay::new(20, 2, 1).unwrap();
        assert_eq!(copy.push_tensors(&batch, None).unwrap(), 9);
        assert_eq!(numbers(&copy), numbers(&source));
        let wide = Replay::new(9, 3, 1).unwrap().push_tensors(&batch, None).unwrap_err();
        assert_eq!(wide.to_string(), "replay: obs: expected [B,3], got [9, 2]");
    }
}

#[test]
fn bad_rows_are_refused_by_name() {
    let mut replay = Replay::new(4, 1, 1).unwrap();
    let good = TransitionRow {
        obs: &[0.0],
        action: &[0.0],
        reward: 0.0,
        next_obs: &[0.0],
        cont: 1.0,
        own: Vec::new(),
    };
    let mut refused = |row: TransitionRow| replay.push(&row).unwrap_err().to_string();
    let nan = f32::NAN;
    assert!(
        refused(TransitionRow { reward: nan, ..good.clone() })
            .contains("in reward of a transition")
    );
    assert!(refused(TransitionRow { obs: &[nan], ..good.clone() }).contains("in obs of"));
    assert!(
        refused(TransitionRow { next_obs: &[1.0 / 0.0], ..good.clone() })
            .contains("in next_obs of")
    );
    assert!(
        refused(TransitionRow { cont: 0.5, ..good.clone() }).contains("`cont`: must be 0 or 1")
    );
    assert!(
        refused(TransitionRow { obs: &[], ..good.clone() })
            .contains("replay: obs: expected 1 rows")
    );
    assert!(
        refused(TransitionRow { own: vec![&[1.0]], ..good.clone() })
            .contains("replay: own columns")
    );
    assert!(replay.is_empty());
    assert!(Replay::new(0, 1, 1).is_err() && replay.resize(0).is_err());
}

#[test]
fn draws_are_uniform_with_replacement_and_seeded() {
    let replay = filled(10, 0..25); // holds 15..25
    let mut rng = Rng::new(3);
    let batch = replay.sample(20_000, &mut rng, &Spec::f32()).unwrap();
    let mut counts = [0.0f64; 10];
    for x in to_f64(&batch.reward).unwrap() {
        counts[(x - 15.5) as usize] += 1.0;
    }
    // Chi-square with 9 degrees of freedom: its 0.9999 quantile is 33.7.
    let chi: f64 = counts.iter().map(|c| (c - 2000.0).powi(2) / 2000.0).sum();
    assert!(chi < 33.7, "{counts:?}");
    let again = replay.sample(20_000, &mut Rng::new(3), &Spec::f32()).unwrap();
    assert_eq!(to_f64(&batch.obs).unwrap(), to_f64(&again.obs).unwrap());
    assert!(Replay::new(1, 1, 1).unwrap().sample(1, &mut rng, &Spec::f32()).is_err());
}

#[test]
fn draws_do_not_depend_on_where_the_ring_starts() {
    let wrapped = filled(10, 0..25);
    let mut straight = wrapped.clone();
    straight.resize(11).unwrap();
    let draw = |replay: &Replay| {
        to_f64(&replay.sample(50, &mut Rng::new(1), &Spec::f32()).unwrap().obs).unwrap()
    };
    assert_eq!(draw(&wrapped), draw(&straight));
    let batch = wrapped.gather(&[0, 9, 0], &Spec::f32()).unwrap();
    assert_eq!(to_f64(&batch.reward).unwrap(), [15.5, 24.5, 15.5]);
    assert!(wrapped.gather(&[10], &Spec::f32()).is_err());
}

#[test]
fn mixed_batches_have_the_rounded_down_share_of_real_rows() {
    let (real, model) = (filled(10, 0..10), filled(10, 100..110));
    // Python: int(256 * 0.05), int(256 * 0.5), int(7 * 0.3), all and none.
    for (n, ratio, n_real) in
        [(256, 0.05, 12), (256, 0.5, 128), (7, 0.3, 2), (9, 1.0, 9), (9, 0.0, 0)]
    {
        let batch = Replay::mixed(&real, &model, n, ratio, &mut Rng::new(0), &Spec::f32()).unwrap();
        let rewards = to_f64(&batch.reward).unwrap();
        assert!(rewards.len() == n && rewards[..n_real].iter().all(|&r| r < 50.0));
        assert!(rewards[n_real..].iter().all(|&r| r > 50.0));
    }
    let empty = Replay::new(5, 2, 1).unwrap();
    let mut rng = Rng::new(0);
    let batch = Replay::mixed(&real, &empty, 8, 0.05, &mut rng, &Spec::f32()).unwrap();
    assert!(to_f64(&batch.reward).unwrap().iter().all(|&r| r < 50.0) && batch.len() == 8);
    assert!(Replay::mixed(&empty, &model, 8, 0.5, &mut rng, &Spec::f32()).is_err());
    let error = Replay::mixed(&real, &model, 8, 1.5, &mut rng, &Spec::f32()).unwrap_err();
    assert!(error.to_string().contains("`real_ratio`"));
}

#[test]
fn memory_follows_the_rows_not_the_capacity() {
    let mut replay = Replay::new(1_000_000, 3, 1).unwrap();
    assert_eq!(replay.allocated_bytes(), 0);
    let row_bytes = 9 * 4;
    for i in 1..=100_000 {
        let obs = [i as f32; 3];
        let row = TransitionRow {
            obs: &obs,
            action: &[0.0],
            reward: 0.0,
            next_obs: &obs,
            cont: 1.0,
            own: Vec::new(),
        };
        replay.push(&row).unwrap();
        // A third of a row is copied while its column grows: 1.25 + 1/3 < 2.
        assert!(i < 64 || replay.allocated_bytes() <= i * row_bytes * 5 / 4 + row_bytes);
    }
    let mut small = filled(100, 0..1000);
    assert_eq!(small.allocated_bytes(), 100 * 7 * 4);
    small.resize(10).unwrap();
    assert_eq!(small.allocated_bytes(), 10 * 7 * 4);
    small.clear();
    assert_eq!((small.allocated_bytes(), small.len(), small.capacity()), (0, 0, 10));
}

#[test]
fn own_columns_ride_along_by_name() {
    let fresh = || Replay::new(2, 1, 1).unwrap().with_column("state", 3).unwrap();
    let mut replay = fresh().with_column("mine", 1).unwrap();
    assert_eq!(
        (replay.width(), replay.own().collect::<Vec<_>>()),
        (9, vec![("state", 3), ("mine", 1)])
    );
    for (name, width) in [("obs", 1), ("state", 3), ("more", 0)] {
        assert!(fresh().with_column(name, width).is_err());
    }
    for i in 0..3 {
        let (state, mine) = ([i as f32; 3], [-(i as f32)]);
        let row = TransitionRow {
            obs: &[0.0],
            action: &[0.0],
            reward: 0.0,
            next_obs: &[0.0],
            cont: 1.0,
            own: vec![&state, &mine],
        };
        replay.push(&row).unwrap();
    }
    let batch = replay.last(9, &Spec::f64()).unwrap();
    assert_eq!(to_f64(&batch.own["state"]).unwrap(), [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
    assert_eq!(to_f64(&batch.own["mine"]).unwrap(), [-1.0, -2.0]);
    assert_eq!(batch.own["mine"].dims(), [2, 1]);
    // Where transitions begin is the state; without such a column it is the observation.
    assert_eq!(batch.start().rolled(true).dims(), [2, 3]);
    assert_eq!(batch.next().rolled(true).dims(), [2, 1]);
    assert_eq!(batch.start().rolled(false).dims(), [2, 1]);
    // From tensors, and back: the same rows.
    let mut copy = fresh().with_column("mine", 1).unwrap();
    assert_eq!(copy.push_tensors(&batch, None).unwrap(), 2);
    assert!(copy.iter().eq(replay.iter()));
    let lacking = fresh().with_column("other", 1).unwrap().push_tensors(&batch, None);
    assert!(lacking.unwrap_err().to_string().contains("replay: other"));
}

/// Rows of two episodes, the second still running, in a ring that has begun anew.
#[test]
fn stretches_end_where_the_next_observation_is_another() {
    let mut replay = Replay::new(6, 1, 1).unwrap();
    let mut add = |from: f32, to: f32| {
        let (obs, next_obs) = (&[from], &[to]);
        let own = Vec::new();
        let row = TransitionRow { obs, action: &[0.0], reward: 0.0, next_obs, cont: 1.0, own };
        replay.push(&row).unwrap();
    };
    for (from, to) in
        [(9.0, 0.0), (0.0, 1.0), (1.0, 2.0), (2.0, 3.0), (5.0, 6.0), (6.0, 7.0), (7.0, 8.0)]
    {
        add(from, to);
    }
    assert_eq!(replay.stretches(99, 1), [0..3, 3..6]);
    assert_eq!(replay.stretches(4, 1), [2..3, 3..6]);
    assert_eq!(replay.stretches(4, 2), vec![3..6; 1]);
    assert_eq!(replay.windows(99, 2), [0, 1, 3, 4]);
    assert_eq!(replay.windows(4, 3), [3]);
    let steps = replay.sequences(&[0, 3], 3, &Spec::f64()).unwrap();
    assert_eq!(steps.len(), 3);
    for (t, step) in steps.iter().enumerate() {
        let same = replay.gather(&[t, 3 + t], &Spec::f64()).unwrap();
        assert_eq!(to_f64(&step.obs).unwrap(), to_f64(&same.obs).unwrap(), "{t}");
    }
}
