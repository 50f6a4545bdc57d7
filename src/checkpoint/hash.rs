//! The 128-bit content hash of checkpoints: XXH64 with the seeds 0 and 1.
//!
//! It guards against damage and names contents; it is no protection against forgery. Each step maps
//! a lane bijectively, so a change inside one aligned 8-byte word is always noticed, any other
//! change with probability `1 - 2^-128`.

const P1: u64 = 0x9e37_79b1_85eb_ca87;
const P2: u64 = 0xc2b2_ae3d_27d4_eb4f;
const P3: u64 = 0x1656_67b1_9e37_79f9;
const P4: u64 = 0x85eb_ca77_c2b2_ae63;
const P5: u64 = 0x27d4_eb2f_1656_67c5;

/// The content hash of `bytes`.
pub(super) fn digest(bytes: &[u8]) -> [u8; 16] {
    let mut out = [0; 16];
    out[..8].copy_from_slice(&xxh64(bytes, 0).to_be_bytes());
    out[8..].copy_from_slice(&xxh64(bytes, 1).to_be_bytes());
    out
}

/// A digest as 32 lower-case hexadecimal digits: the name of a file with that content.
pub(super) fn hex(digest: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*digest))
}

fn round(lane: u64, word: u64) -> u64 {
    lane.wrapping_add(word.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1)
}

/// A little-endian number of up to 8 bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b))
}

/// XXH64 of `bytes`, as its specification defines it.
fn xxh64(bytes: &[u8], seed: u64) -> u64 {
    let (blocks, tail) = bytes.as_chunks::<32>();
    let mut hash = if blocks.is_empty() {
        seed.wrapping_add(P5)
    } else {
        let mut lanes = [
            seed.wrapping_add(P1).wrapping_add(P2),
            seed.wrapping_add(P2),
            seed,
            seed.wrapping_sub(P1),
        ];
        for block in blocks {
            let (words, _) = block.as_chunks::<8>();
            for (lane, word) in lanes.iter_mut().zip(words) {
                *lane = round(*lane, u64::from_le_bytes(*word));
            }
        }
        let [a, b, c, d] = lanes;
        let sum = a.rotate_left(1).wrapping_add(b.rotate_left(7));
        let sum = sum.wrapping_add(c.rotate_left(12)).wrapping_add(d.rotate_left(18));
        lanes.iter().fold(sum, |h, &l| (h ^ round(0, l)).wrapping_mul(P1).wrapping_add(P4))
    };
    hash = hash.wrapping_add(bytes.len() as u64);

    let (words, mut rest) = tail.as_chunks::<8>();
    for word in words {
        hash ^= round(0, u64::from_le_bytes(*word));
        hash = hash.rotate_left(27).wrapping_mul(P1).wrapping_add(P4);
    }
    if let Some((half, after)) = rest.split_at_checked(4) {
        hash ^= number(half).wrapping_mul(P1);
        hash = hash.rotate_left(23).wrapping_mul(P2).wrapping_add(P3);
        rest = after;
    }
    for &byte in rest {
        hash = (hash ^ u64::from(byte).wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(P2);
    hash = (hash ^ (hash >> 29)).wrapping_mul(P3);
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    // From the Python package xxhash 3.6.0: `xxhash.xxh64(bytes(i % 251 for i in range(n)), s)`.
    const KNOWN: [(usize, u64, u64); 14] = [
        (0, 0xef46_db37_51d8_e999, 0xd5af_ba13_36a3_be4b),
        (1, 0xe934_a84a_db05_2768, 0x7719_17c7_f6ee_2451),
        (3, 0xe5c7_bb45_33bc_65dd, 0xa216_8d89_c582_b451),
        (4, 0xffce_d860_4453_cc1e, 0x9450_6f8c_7e58_70a9),
        (7, 0x14cc_643f_630c_72d2, 0xaf4c_5311_c47c_77b7),
        (8, 0x884a_1736_14b8_1b8d, 0x9d2b_7c73_54fe_4e23),
        (15, 0xa948_f5f0_f6ab_ac2d, 0xc60a_a959_76ed_0e4e),
        (31, 0xc346_d2b5_9b4d_8ee1, 0xf031_031d_6597_7dfc),
        (32, 0xcbf5_9c51_16ff_32b4, 0xd74e_6766_ce9d_ba94),
        (33, 0x0c53_5d1a_cafb_8ead, 0xa371_825f_4210_fe99),
        (63, 0xe26a_a9e2_a95f_8e4f, 0x5264_ec07_19e1_0595),
        (64, 0xf7c6_7301_db67_13f0, 0x3ce5_bdf7_5759_26c0),
        (100, 0x6ac1_e580_3216_6597, 0x3d19_a3a2_098a_7023),
        (1000, 0xf306_f04a_a88b_54d3, 0x3dd8_a345_cc37_de33),
    ];

    #[test]
    fn equals_the_reference_implementation() {
        for (n, zero, one) in KNOWN {
            let bytes: Vec<u8> = (0..n).map(|i| (i % 251) as u8).collect();
            assert_eq!((xxh64(&bytes, 0), xxh64(&bytes, 1)), (zero, one), "length {n}");
            let expected = format!("{zero:016x}{one:016x}");
            assert_eq!(hex(&digest(&bytes)), expected);
        }
    }
}
