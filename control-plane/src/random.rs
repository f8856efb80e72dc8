//! The only place that draws random numbers. Always the operating system's generator.
//!
//! What it does not: seeds, cheap generators, or anything reproducible. Tests that need a certain number pass it in.

/// The operating system gave no random bytes. Nothing that needs them may go on.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the operating system's random number generator failed")]
pub struct RandomError;

/// Where random numbers come from. Cheap to clone; built once in `main`.
#[derive(Clone, Debug)]
pub struct Random(());

impl Random {
    /// The operating system's generator.
    pub fn system() -> Self {
        Self(())
    }

    /// Fills `buffer`.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one module that may draw random bytes"
    )]
    #[allow(
        clippy::allow_attributes,
        clippy::unused_self,
        unfulfilled_lint_expectations,
        reason = "a capability: holding a Random is the permission"
    )]
    pub fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError> {
        getrandom::fill(buffer).map_err(|_| RandomError)
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], RandomError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// A number below `limit`, every one equally likely; zero if `limit` is zero.
    pub fn below(&self, limit: u64) -> Result<u64, RandomError> {
        if limit == 0 {
            return Ok(0);
        }
        // Numbers at or above the largest multiple of `limit` would favour the small remainders: draw again.
        let excess = (u64::MAX % limit).wrapping_add(1) % limit;
        loop {
            let drawn = u64::from_le_bytes(self.bytes()?);
            if drawn <= u64::MAX - excess {
                return Ok(drawn % limit);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_reaches_every_number_and_no_other() {
        let random = Random::system();
        let mut seen = [0u32; 6];
        for _ in 0..6000 {
            let drawn = usize::try_from(random.below(6).expect("random")).expect("small");
            seen[drawn] += 1;
        }
        assert!(seen.iter().all(|count| (700..1300).contains(count)), "{seen:?}");
        assert_eq!(random.below(1).expect("random"), 0);
        assert_eq!(random.below(0).expect("random"), 0);
    }

    #[test]
    fn bytes_differ() {
        let random = Random::system();
        assert_ne!(
            random.bytes::<32>().expect("random"),
            random.bytes::<32>().expect("random")
        );
    }
}
