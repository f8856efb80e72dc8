//! The published keys (RFC 7517): complete, told apart, strong enough, and public.

use std::collections::BTreeSet;

use serde_json::Value;
use shared::crypto::from_base64url;

use super::report::{Fault, Verdict};

const MIN_RSA_BITS: usize = 2048;
/// RFC 7518 §6: what only the owner of a key may know.
const PRIVATE: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "k"];

/// The whole set.
pub(super) fn is_sound(document: &Value) -> Verdict {
    let keys = document["keys"].as_array().filter(|keys| !keys.is_empty());
    let keys = keys.ok_or_else(|| {
        Fault::new(
            "no keys",
            "publish the keys that tokens are signed with: nobody can verify one",
        )
    })?;
    let mut seen = BTreeSet::new();
    for key in keys {
        let kid = key["kid"].as_str().unwrap_or_default();
        if kid.is_empty() {
            return Err(Fault::new(
                "a key without `kid`",
                "name every key: tokens name theirs",
            ));
        }
        if !seen.insert(kid) {
            return Err(Fault::new(
                format!("two keys are called `{kid}`"),
                "give each key a name of its own: clients take the first",
            ));
        }
        is_key(kid, key)?;
    }
    Ok(format!(
        "{} keys: {}",
        keys.len(),
        seen.into_iter().collect::<Vec<_>>().join(", ")
    ))
}

fn is_key(kid: &str, key: &Value) -> Result<(), Fault> {
    if let Some(member) = PRIVATE.iter().find(|member| key.get(**member).is_some()) {
        return Err(Fault::new(
            format!("the key `{kid}` shows its private member `{member}`"),
            "it is compromised: replace it now (`portcullis keys signing rotate --compromised`)",
        ));
    }
    if key["alg"]
        .as_str()
        .is_none_or(|alg| alg.is_empty() || alg == "none")
    {
        return Err(Fault::new(
            format!("the key `{kid}` has no `alg`"),
            "name the one algorithm it is for (RFC 7517 §4.4)",
        ));
    }
    match key["kty"].as_str() {
        Some("RSA") => {
            let bits = rsa_bits(key).unwrap_or(0);
            if bits < MIN_RSA_BITS {
                return Err(Fault::new(
                    format!("the RSA key `{kid}` has {bits} bits"),
                    "use at least 2048 (RFC 7518 §3.3): verifiers refuse shorter ones",
                ));
            }
            Ok(())
        }
        Some("EC" | "OKP") => Ok(()),
        kty => Err(Fault::new(
            format!("the key `{kid}` is of type `{}`", kty.unwrap_or("none")),
            "publish RSA, EC or OKP keys only",
        )),
    }
}

fn rsa_bits(key: &Value) -> Option<usize> {
    let modulus = from_base64url(key["n"].as_str()?)?;
    let mut bytes = modulus.iter().skip_while(|byte| **byte == 0);
    let first = bytes.next()?;
    let zeros = usize::try_from(first.leading_zeros()).ok()?;
    Some(
        bytes
            .count()
            .saturating_add(1)
            .saturating_mul(8)
            .saturating_sub(zeros),
    )
}
