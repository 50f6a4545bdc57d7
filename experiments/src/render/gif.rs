//! Pixels in time as an animated GIF (version 89a).
//!
//! One table of colours serves all pictures; of each only the rectangle that has changed is stored,
//! with what has not changed in it left transparent.

use super::pixels::Pixels;

/// Colours in the table: 255, and one that stands for "as before".
const COLORS: usize = 255;
const CLEAR: u8 = 255;
/// Codes are at most 12 bits long.
const MOST_CODES: usize = 4096;

/// A film that grows picture by picture.
pub struct Film {
    out: Vec<u8>,
    table: Table,
    width: usize,
    /// The picture before, as indices.
    before: Vec<u8>,
}

impl Film {
    /// A film in the colours of some of its pictures; all have the size of the first of them.
    pub fn new(sample: &[Pixels]) -> Self {
        let (width, height) = sample.first().map_or((1, 1), |p| (p.width, p.height));
        let table = Table::of(sample);
        let mut out = b"GIF89a".to_vec();
        for n in [width, height] {
            out.extend((n as u16).to_le_bytes());
        }
        // A table of 256 colours of 8 bits; no background; square pixels.
        out.extend([0xf7, 0, 0]);
        out.extend(table.bytes());
        // Again from the start, without end.
        out.extend(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00");
        Self { out, table, width, before: Vec::new() }
    }

    /// Adds a picture, to be seen for so many hundredths of a second.
    pub fn push(&mut self, picture: &Pixels, time: u16) {
        let (width, out) = (self.width, &mut self.out);
        let now: Vec<u8> = picture.rgb.chunks_exact(3).map(|p| self.table.index(p)).collect();
        let (x, y) = changed(&self.before, &now, width);
        // Left in place for the next; `CLEAR` is transparent but in the first picture.
        let clear = u8::from(!self.before.is_empty());
        out.extend([0x21, 0xf9, 4, 0x04 | clear]);
        out.extend(time.to_le_bytes());
        out.extend([CLEAR, 0, 0x2c]);
        for n in [x.0, y.0, x.1 - x.0, y.1 - y.0] {
            out.extend((n as u16).to_le_bytes());
        }
        out.push(0);
        let mut indices = Vec::with_capacity((x.1 - x.0) * (y.1 - y.0));
        for row in y.0..y.1 {
            let line = row * width + x.0..row * width + x.1;
            let new = now[line.clone()].iter();
            match self.before.get(line) {
                Some(old) => {
                    indices.extend(new.zip(old).map(|(n, o)| if n == o { CLEAR } else { *n }));
                }
                None => indices.extend(new),
            }
        }
        out.push(8);
        for block in compressed(&indices).chunks(255) {
            out.push(block.len() as u8);
            out.extend(block);
        }
        out.push(0);
        self.before = now;
    }

    /// The whole file.
    pub fn finish(mut self) -> Vec<u8> {
        self.out.push(0x3b);
        self.out
    }
}

/// Columns and rows, from and to, of what has changed; one pixel at least.
fn changed(before: &[u8], now: &[u8], width: usize) -> ((usize, usize), (usize, usize)) {
    let height = now.len() / width;
    if before.len() != now.len() {
        return ((0, width), (0, height));
    }
    let (mut x, mut y) = ((width, 0), (height, 0));
    for (at, _) in before.iter().zip(now).enumerate().filter(|(_, (a, b))| a != b) {
        let (column, row) = (at % width, at / width);
        x = (x.0.min(column), x.1.max(column + 1));
        y = (y.0.min(row), y.1.max(row + 1));
    }
    if x.0 < x.1 { (x, y) } else { ((0, 1), (0, 1)) }
}

/// The colours of a film.
struct Table {
    colors: Vec<[u8; 3]>,
    /// The index of every colour, by its leading bits; `None` where it was not asked for yet.
    nearest: Vec<Option<u8>>,
}

/// Bits of each of red, green and blue that tell colours apart.
const BITS: u32 = 6;

fn cell(color: &[u8]) -> usize {
    color.iter().fold(0, |n, v| n << BITS | usize::from(v >> (8 - BITS)))
}

impl Table {
    /// The most frequent colours; every other is shown as the nearest of them.
    fn of(pictures: &[Pixels]) -> Self {
        let cells = 1 << (3 * BITS);
        // How often a cell is met, and the sum of what is met: flat colours outweigh the blends
        // beside them.
        let mut met = vec![(0_u64, [0_u64; 3]); cells];
        for pixel in pictures.iter().flat_map(|p| p.rgb.chunks_exact(3)) {
            let (count, sum) = &mut met[cell(pixel)];
            *count += 1;
            sum.iter_mut().zip(pixel).for_each(|(sum, v)| *sum += u64::from(*v));
        }
        let mut order: Vec<usize> = (0..cells).filter(|&cell| met[cell].0 > 0).collect();
        order.sort_by_key(|&cell| (std::cmp::Reverse(met[cell].0), cell));
        let mean =
            |cell: usize| met[cell].1.map(|sum| ((sum + met[cell].0 / 2) / met[cell].0) as u8);
        order.truncate(COLORS);
        let mut nearest = vec![None; cells];
        // A colour of the table stands for its own cell, whatever is met there first.
        order.iter().enumerate().for_each(|(i, &cell)| nearest[cell] = Some(i as u8));
        Self { colors: order.into_iter().map(mean).collect(), nearest }
    }

    fn index(&mut self, color: &[u8]) -> u8 {
        let colors = &self.colors;
        *self.nearest[cell(color)].get_or_insert_with(|| {
            let distance = |other: &[u8; 3]| -> u32 {
                color.iter().zip(other).map(|(a, b)| u32::from(a.abs_diff(*b)).pow(2)).sum()
            };
            let best = (0..colors.len()).min_by_key(|&i| (distance(&colors[i]), i));
            best.unwrap_or(0) as u8
        })
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.colors.concat();
        bytes.resize(3 * 256, 0);
        bytes
    }
}

/// Lempel, Ziv and Welch's compression as GIF lays it out: codes of 9 to 12 bits, the lowest bit
/// first, a clearing code when the table is full.
fn compressed(indices: &[u8]) -> Vec<u8> {
    const RESET: u16 = 256;
    const END: u16 = 257;
    let mut bits = Bits::default();
    let mut width = 9;
    // What a code and the byte after it are coded as; 0 where they have not met.
    let mut codes = vec![0_u16; MOST_CODES * 256];
    let mut known = 258;
    bits.push(RESET, width);
    let Some((&first, rest)) = indices.split_first() else {
        bits.push(END, width);
        return bits.finish();
    };
    let mut word = u16::from(first);
    for &byte in rest {
        let slot = usize::from(word) * 256 + usize::from(byte);
        if codes[slot] != 0 {
            word = codes[slot];
            continue;
        }
        bits.push(word, width);
        if known < MOST_CODES {
            codes[slot] = known as u16;
            // A reader is one code behind: it needs the longer codes one code later.
            if known == 1 << width {
                width += 1;
            }
            known += 1;
        } else {
            bits.push(RESET, width);
            codes.fill(0);
            (known, width) = (258, 9);
        }
        word = u16::from(byte);
    }
    bits.push(word, width);
    // The reader adds an entry for the last code too, and may read the end one bit wider for it.
    if known == 1 << width && width < 12 {
        width += 1;
    }
    bits.push(END, width);
    bits.finish()
}

/// Codes packed into bytes, the lowest bit first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    waiting: u32,
    count: u32,
}

impl Bits {
    fn push(&mut self, code: u16, width: u32) {
        self.waiting |= u32::from(code) << self.count;
        self.count += width;
        while self.count >= 8 {
            self.bytes.push(self.waiting as u8);
            self.waiting >>= 8;
            self.count -= 8;
        }
    }

    fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.bytes.push(self.waiting as u8);
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader written from the format's description alone.
    fn expanded(bytes: &[u8]) -> Vec<u8> {
        let fresh = || (0..258).map(|i| vec![i as u8]).collect::<Vec<Vec<u8>>>();
        let (mut table, mut width, mut at) = (fresh(), 9, 0);
        let (mut out, mut before): (Vec<u8>, Option<Vec<u8>>) = (Vec::new(), None);
        loop {
            let bit = |i: usize| usize::from(bytes[i / 8] >> (i % 8) & 1);
            let code = (0..width).map(|i| bit(at + i) << i).sum::<usize>();
            at += width;
            match code {
                256 => (table, width, before) = (fresh(), 9, None),
                257 => return out,
                _ => {
                    let mut word = table.get(code).cloned();
                    if let Some(before) = before {
                        let head = word.as_ref().unwrap_or(&before)[0];
                        let new = [&before[..], &[head]].concat();
                        word = word.or_else(|| Some(new.clone()));
                        if table.len() < MOST_CODES {
                            table.push(new);
                        }
                    }
                    let word = word.unwrap();
                    out.extend(&word);
                    before = Some(word);
                    if table.len() == 1 << width && width < 12 {
                        width += 1;
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_compressed_comes_back() {
        // Runs, no pattern at all (the table fills and is cleared), and every short length.
        let mut state = 1_u32;
        let mut noise = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let noisy: Vec<u8> = (0..30_000).map(|_| noise()).collect();
        let runs: Vec<u8> = (0..60_000_u32).map(|i| (i / 700) as u8).collect();
        for whole in [noisy, runs] {
            assert_eq!(expanded(&compressed(&whole)), whole);
            for n in (0..1200).chain([3838, 3839, 3840, 3841, 4097, 9000]) {
                assert_eq!(expanded(&compressed(&whole[..n])), whole[..n], "{n}");
            }
        }
    }

    /// The pictures of a file as a viewer shows them: red, green and blue, and the time of each.
    fn shown(file: &[u8]) -> Vec<(Vec<u8>, u16)> {
        let number = |at: usize| usize::from(u16::from_le_bytes([file[at], file[at + 1]]));
        let (width, height) = (number(6), number(8));
        let color = |index: u8| &file[13 + 3 * usize::from(index)..][..3];
        // Behind the table of colours and the extension that repeats the film.
        let (mut at, mut screen, mut all) =
            (13 + 768 + 19, vec![7; 3 * width * height], Vec::new());
        while file[at] != 0x3b {
            assert_eq!(file[at..at + 3], [0x21, 0xf9, 4]);
            let (clear, time) = (file[at + 3] & 1 == 1, number(at + 4) as u16);
            let hidden = file[at + 6];
            let [x, y, w, h] = [9, 11, 13, 15].map(|n| number(at + n));
            assert_eq!((file[at + 8], file[at + 17], file[at + 18]), (0x2c, 0, 8));
            at += 19;
            let mut bytes = Vec::new();
            while file[at] != 0 {
                let length = usize::from(file[at]);
                bytes.extend(&file[at + 1..=at + length]);
                at += length + 1;
            }
            at += 1;
            let indices = expanded(&bytes);
            assert_eq!(indices.len(), w * h);
            for (i, index) in indices.into_iter().enumerate() {
                let pixel = (y + i / w) * width + x + i % w;
                if !(clear && index == hidden) {
                    screen[3 * pixel..][..3].copy_from_slice(color(index));
                }
            }
            all.push((screen.clone(), time));
        }
        assert_eq!(at + 1, file.len());
        all
    }

    #[test]
    fn a_viewer_shows_what_was_pushed() {
        // A block of three colours walks over a ground of three others.
        let picture = |step: usize| {
            let (width, height) = (40, 23);
            let of = |at: usize| {
                let (x, y) = (at % width, at / width);
                let block = (step..step + 9).contains(&x) && (2 * step..2 * step + 7).contains(&y);
                if block { [200, 8 * (x % 3) as u8, 40] } else { [240, 240, 16 * (y % 3) as u8] }
            };
            Pixels { width, height, rgb: (0..width * height).flat_map(of).collect() }
        };
        let pictures = [0, 1, 1, 8, 3].map(picture);
        let mut film = Film::new(&pictures[..2]);
        for (i, picture) in pictures.iter().enumerate() {
            film.push(picture, 5 + i as u16);
        }
        let shown = shown(&film.finish());
        assert_eq!(shown.len(), 5);
        for (i, (picture, (rgb, time))) in pictures.iter().zip(&shown).enumerate() {
            assert!(*rgb == picture.rgb, "picture {i}");
            assert_eq!(usize::from(*time), 5 + i);
        }
    }

    #[test]
    fn a_picture_that_stays_costs_a_pixel() {
        let picture = |shade: u8| {
            let mut rgb = vec![200; 3 * 12];
            rgb[3 * 5] = shade;
            Pixels { width: 4, height: 3, rgb }
        };
        assert_eq!(changed(&[1, 2, 3, 4], &[1, 2, 3, 4], 2), ((0, 1), (0, 1)));
        assert_eq!(changed(&[1, 2, 3, 4], &[1, 9, 3, 4], 2), ((1, 2), (0, 1)));
        let mut film = Film::new(&[picture(0), picture(9)]);
        film.push(&picture(0), 5);
        film.push(&picture(9), 5);
        let before = film.out.len();
        film.push(&picture(9), 100);
        // Ten bytes of control, ten of place, the width of a code, a block of four codes' bits.
        assert!(film.out.len() - before < 30);
        let file = film.finish();
        assert!(file.starts_with(b"GIF89a\x04\0\x03\0") && file.ends_with(&[0, 0x3b]));
        assert_eq!(file.windows(3).filter(|w| w == &[0x21, 0xf9, 4]).count(), 3);
    }
}
