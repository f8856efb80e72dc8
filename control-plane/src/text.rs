//! Which text people may give things as a name.
//!
//! What it refuses: characters that cannot be seen, or that change how their neighbours are shown. With them a name looks
//! like another one, in a list, in a log and in the question whether it is really this key that should be revoked.

use std::ops::RangeInclusive;

/// The longest name, in characters.
pub(crate) const MAX_NAME: usize = 100;

/// Unicode's format characters, default-ignorable characters and separators of lines: marks of direction, joiners, spaces
/// without width, fillers, selectors of variants, tags.
const UNSEEN: [RangeInclusive<char>; 25] = [
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{600}'..='\u{605}',
    '\u{61c}'..='\u{61c}',
    '\u{6dd}'..='\u{6dd}',
    '\u{70f}'..='\u{70f}',
    '\u{890}'..='\u{891}',
    '\u{8e2}'..='\u{8e2}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{200b}'..='\u{200f}',
    '\u{2028}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{3164}'..='\u{3164}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{fffb}',
    '\u{110bd}'..='\u{110bd}',
    '\u{110cd}'..='\u{110cd}',
    '\u{13430}'..='\u{1343f}',
    '\u{1bca0}'..='\u{1bca3}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0000}'..='\u{e0fff}',
];

/// The name without white space around it, if a list can show it.
pub(crate) fn name(text: &str) -> Option<&str> {
    let name = text.trim();
    let fits = (1..=MAX_NAME).contains(&name.chars().count());
    (fits && name.chars().all(is_seen)).then_some(name)
}

/// A remark on one line without white space around it, which may be empty.
pub(crate) fn remark(text: &str, most: usize) -> Option<&str> {
    let remark = text.trim();
    (remark.chars().count() <= most && remark.chars().all(is_seen)).then_some(remark)
}

fn is_seen(c: char) -> bool {
    !c.is_control() && !UNSEEN.iter().any(|range| range.contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_it_looks_like() {
        for fine in [
            "CI",
            " CI ",
            "Schlüssel ✓",
            "鍵",
            "מפתח",
            "مفتاح",
            &"x".repeat(MAX_NAME),
        ] {
            assert_eq!(name(fine), Some(fine.trim()), "{fine:?}");
        }
        for wrong in ["", "  ", "a\nb", "a\u{7f}b", &"x".repeat(MAX_NAME + 1)] {
            assert_eq!(name(wrong), None, "{wrong:?}");
        }
        // Directions and isolates; without width; separators; fillers; the byte order mark; selectors; tags.
        let unseen = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202e}\u{2066}\u{2069}\u{ad}\u{200b}\u{200c}\u{200d}\u{2060}\
                      \u{2028}\u{2029}\u{115f}\u{3164}\u{ffa0}\u{feff}\u{fe0f}\u{e0041}\u{e0100}";
        for c in unseen.chars() {
            assert_eq!(name(&format!("pro{c}duction")), None, "{c:?}");
        }
    }
}
