//! ChaCha with 8 rounds (Bernstein 2008), sixteen blocks at a time: one block a lane.
//!
//! The layout is the original one: four constants, a 256-bit key, a 64-bit block counter and a
//! 64-bit stream number.

/// Blocks computed at once, and the words of a block.
pub(super) const LANES: usize = 16;

/// Words of sixteen blocks: `[w][lane]`.
pub(super) type Words = [[u32; LANES]; 16];

/// "expand 32-byte k" in little-endian words.
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

#[inline(always)]
fn quarter_round(x: &mut [u32; 16], a: usize, b: usize, c: usize, d: usize) {
    x[a] = x[a].wrapping_add(x[b]);
    x[d] = (x[d] ^ x[a]).rotate_left(16);
    x[c] = x[c].wrapping_add(x[d]);
    x[b] = (x[b] ^ x[c]).rotate_left(12);
    x[a] = x[a].wrapping_add(x[b]);
    x[d] = (x[d] ^ x[a]).rotate_left(8);
    x[c] = x[c].wrapping_add(x[d]);
    x[b] = (x[b] ^ x[c]).rotate_left(7);
}

/// The columns, then the diagonals.
#[inline(always)]
fn double_round(x: &mut [u32; 16]) {
    quarter_round(x, 0, 4, 8, 12);
    quarter_round(x, 1, 5, 9, 13);
    quarter_round(x, 2, 6, 10, 14);
    quarter_round(x, 3, 7, 11, 15);
    quarter_round(x, 0, 5, 10, 15);
    quarter_round(x, 1, 6, 11, 12);
    quarter_round(x, 2, 7, 8, 13);
    quarter_round(x, 3, 4, 9, 14);
}

/// The blocks of `stream` with these counters. To be inlined into a loop compiled by `vectorised!`.
///
/// The loop runs over lanes and its body is straight: that is what the compiler vectorises.
#[inline(always)]
pub(super) fn blocks(key: &[u32; 8], counters: &[u64; LANES], stream: u64, out: &mut Words) {
    let low = counters.map(|c| c as u32);
    let high = counters.map(|c| (c >> 32) as u32);
    let [c0, c1, c2, c3] = CONSTANTS;
    let [k0, k1, k2, k3, k4, k5, k6, k7] = *key;
    let (s0, s1) = (stream as u32, (stream >> 32) as u32);
    for lane in 0..LANES {
        let (n0, n1) = (low[lane], high[lane]);
        let start = [c0, c1, c2, c3, k0, k1, k2, k3, k4, k5, k6, k7, n0, n1, s0, s1];
        let mut x = start;
        double_round(&mut x);
        double_round(&mut x);
        double_round(&mut x);
        double_round(&mut x);
        for w in 0..16 {
            out[w][lane] = x[w].wrapping_add(start[w]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use rand::Rng as _;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    crate::vectorised::vectorised! {
        fn vectorised_blocks(key: &[u32; 8], counters: &[u64; LANES], stream: u64, out: &mut Words) {
            blocks(key, counters, stream, out);
        }
    }

    #[test]
    fn every_lane_is_chacha8() {
        let mut rng = Rng::new(21);
        for round in 0..50 {
            let mut seed = [0; 32];
            rng.0.fill_bytes(&mut seed);
            let key = super::super::key_words(&seed);
            let stream = if round < 2 { round } else { rng.0.next_u64() };
            // Counters below, across and far above 32 bits.
            let mut counters: [u64; LANES] =
                std::array::from_fn(|lane| rng.0.next_u64() >> (lane * 4));
            counters[..3].copy_from_slice(&[0, u64::from(u32::MAX), u64::from(u32::MAX) + 1]);
            let (mut plain, mut vector) = ([[0; LANES]; 16], [[1; LANES]; 16]);
            blocks(&key, &counters, stream, &mut plain);
            vectorised_blocks(&key, &counters, stream, &mut vector);
            assert_eq!(plain, vector);
            for (lane, counter) in counters.iter().enumerate() {
                let mut want = ChaCha8Rng::from_seed(seed);
                want.set_stream(stream);
                want.set_word_pos(u128::from(*counter) * 16);
                for (w, row) in plain.iter().enumerate() {
                    assert_eq!(row[lane], want.next_u32(), "word {w} of block {counter}");
                }
            }
        }
    }
}
