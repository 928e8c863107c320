//! The rules under test that are not the store's, and the same with one of them broken.

/// The issuer, the verifiers and the replica of the store go by these.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    /// A logout everywhere names the token that asks for it, so that its repetition ends no newer tokens.
    pub(crate) a_repetition_ends_nothing_newer: bool,
    /// An end is answered when a replica of the store has it. There is none in memory.
    pub(crate) an_end_is_confirmed: bool,
    /// A verifier refuses the answer to another cursor.
    pub(crate) an_answer_names_its_question: bool,
    /// A page says when it was made.
    pub(crate) a_page_has_its_time: bool,
    /// The issuer keeps a page for one second and not for a minute.
    pub(crate) a_page_is_cached_briefly: bool,
}

pub(crate) const AS_THEY_ARE: Rules = Rules {
    a_repetition_ends_nothing_newer: true,
    an_end_is_confirmed: true,
    an_answer_names_its_question: true,
    a_page_has_its_time: true,
    a_page_is_cached_briefly: true,
};

pub(crate) const UNCONFIRMED: Rules = Rules { an_end_is_confirmed: false, ..AS_THEY_ARE };

pub(crate) const FAULTS: [(&str, Rules); 4] = [
    ("a repetition ends newer tokens", Rules { a_repetition_ends_nothing_newer: false, ..AS_THEY_ARE }),
    ("the answer to another cursor is accepted", Rules { an_answer_names_its_question: false, ..AS_THEY_ARE }),
    ("a page without its time", Rules { a_page_has_its_time: false, ..AS_THEY_ARE }),
    ("a page is cached for a minute", Rules { a_page_is_cached_briefly: false, ..AS_THEY_ARE }),
];
