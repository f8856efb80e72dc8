//! Devices without a browser (RFC 8628): the device shows a short code, its person types it on `/device`, and the device asks
//! `/token` until they have answered.
//!
//! | file | does |
//! | --- | --- |
//! | `begin` | `POST /device_authorization`: two codes, one for the device and one for the person |
//! | `user_code` | the one for the person |
//! | `page` | `/device`: type the code, read what is asked for, allow or not |
//! | `guesses` | how often somebody may try a code |
//! | `grant` | `/token`: not yet, no, or a grant and its first pair |
//!
//! What it does not: remember a consent. Whoever holds a device that shows a code is asked each time.

pub mod begin;
mod grant;
mod guesses;
pub mod page;
mod user_code;

pub(super) use grant::grant;
