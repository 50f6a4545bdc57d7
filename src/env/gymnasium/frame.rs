//! The frames that go over the pipes; `server.py` is the other side.
//!
//! A frame is its length (u32) and that many bytes; all numbers are little-endian.

/// What the Python side says first.
pub const MAGIC: &[u8; 8] = b"HSTEPGYM";
/// And then: the version of the frames.
pub const VERSION: u32 = 2;
/// The longest frame, in bytes: room for two million numbers.
pub const MAX_FRAME: usize = 1 << 24;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Make = 0,
    Reset = 1,
    Step = 2,
    Close = 3,
    Quit = 4,
    /// This and the next: a function of a batch.
    Terminated = 5,
    Reward = 6,
    Render = 7,
}

impl Operation {
    /// Its name in an error.
    pub fn name(self) -> &'static str {
        match self {
            Self::Make => "make",
            Self::Reset => "reset",
            Self::Step => "step",
            Self::Close => "close",
            Self::Quit => "quit",
            Self::Terminated => "`terminated(obs, action, next_obs)`",
            Self::Reward => "`reward(obs, action, next_obs)`",
            Self::Render => "render",
        }
    }
}

/// A whole request; `slot` numbers the environments of a process.
pub fn request(operation: Operation, slot: u32, rest: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(9 + rest.len());
    frame.extend((5 + rest.len() as u32).to_le_bytes());
    frame.push(operation as u8);
    frame.extend(slot.to_le_bytes());
    frame.extend(rest);
    frame
}

/// Numbers as bytes.
pub fn numbers(x: impl Iterator<Item = f64>) -> Vec<u8> {
    x.flat_map(f64::to_le_bytes).collect()
}

/// Takes an answer apart; every part is `None` where the answer is too short.
#[derive(Debug)]
pub struct Parts<'a>(pub &'a [u8]);

impl Parts<'_> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.bytes().map(u8::from_le_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    pub fn f64(&mut self) -> Option<f64> {
        self.bytes().map(f64::from_le_bytes)
    }

    /// `n` numbers; nothing is allocated for numbers that are not there.
    pub fn f64s(&mut self, n: usize) -> Option<Vec<f64>> {
        if self.0.len() / 8 < n {
            return None;
        }
        (0..n).map(|_| self.f64()).collect()
    }

    /// `Some` at the end.
    pub fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_are_as_described() {
        let frame = request(Operation::Step, 7, &numbers([1.5].into_iter()));
        assert_eq!(frame[..9], [13, 0, 0, 0, 2, 7, 0, 0, 0]);
        let mut parts = Parts(&frame[9..]);
        assert_eq!((parts.f64(), parts.end()), (Some(1.5), Some(())));
        let mut short = Parts(&frame[..9]);
        assert_eq!((short.f64s(usize::MAX), short.end()), (None, None));
        assert_eq!((short.u32(), short.u8(), short.u64()), (Some(13), Some(2), None));
    }
}
