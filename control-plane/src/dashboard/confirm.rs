//! A page between a button and what cannot be undone: it says what will happen, and asks for the name of what it happens to.
//! It is a page and not a dialog, so that it works without JavaScript, with a keyboard, and from a link.

use askama::Template;
use subtle::ConstantTimeEq as _;

use super::Shell;
use crate::oauth::form::Form;

/// The page. Its form goes to `action`, with `hidden` and, if there is a `word`, with what was typed.
#[derive(Debug, Template)]
#[template(path = "dashboard/confirm.html")]
pub struct Confirm {
    /// The frame.
    pub shell: Shell,
    /// What is about to happen: `Revoke ci-deploy`.
    pub title: String,
    /// Why somebody would, and what it means, in a sentence or two.
    pub intro: String,
    /// What will happen, a line each.
    pub consequences: Vec<String>,
    /// What must be typed.
    pub word: Option<String>,
    /// What that is: `the name of the key`.
    pub word_label: &'static str,
    /// What the button says: `Revoke this key`.
    pub submit: &'static str,
    /// Where the form goes.
    pub action: String,
    /// Where somebody goes who thinks better of it.
    pub back: String,
    /// Further fields.
    pub hidden: Vec<(&'static str, String)>,
    /// Why it was refused.
    pub failure: Option<String>,
}

impl Confirm {
    /// The field in which the word is typed.
    pub const FIELD: &'static str = "confirm";

    /// The sentence for those who typed something else.
    pub const MISTYPED: &'static str = "What you typed is not the name. Nothing was changed.";

    /// Whether the word was typed. Spaces around it do not matter.
    pub fn is_typed(form: &Form, word: &str) -> bool {
        let typed = form.value(Self::FIELD).unwrap_or_default().trim();
        typed.as_bytes().ct_eq(word.trim().as_bytes()).into()
    }
}
