//! The rules under test, and the same with one of them broken.

/// What the store, the issuer and the verifiers go by.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    /// A mark stays beside an end until the end is in the stream.
    pub(crate) marks_what_is_untold: bool,
    /// A logout everywhere that is repeated ends no newer tokens.
    pub(crate) a_repetition_ends_nothing_newer: bool,
    /// An end is answered when a replica of the store has it.
    pub(crate) an_end_is_confirmed: bool,
    /// A cursor is the id of an entry and a hash of what it says.
    pub(crate) a_cursor_has_a_hash: bool,
    /// A cursor that is not in the stream begins again at the oldest end.
    pub(crate) a_cursor_must_exist: bool,
    /// The read that follows the look for the cursor looks for it once more.
    pub(crate) the_second_read_looks_too: bool,
    /// A verifier refuses the answer to another cursor.
    pub(crate) an_answer_names_its_question: bool,
    /// A page says when it was made.
    pub(crate) a_page_has_its_time: bool,
    /// The issuer keeps a page for one second and not for a minute.
    pub(crate) a_page_is_cached_briefly: bool,
}

pub(crate) const AS_THEY_ARE: Rules = Rules {
    marks_what_is_untold: true,
    a_repetition_ends_nothing_newer: true,
    an_end_is_confirmed: true,
    a_cursor_has_a_hash: true,
    a_cursor_must_exist: true,
    the_second_read_looks_too: true,
    an_answer_names_its_question: true,
    a_page_has_its_time: true,
    a_page_is_cached_briefly: true,
};

/// Those that chance finds; `stories` has the other two.
pub(crate) const FAULTS: [(&str, Rules); 7] = [
    ("no mark beside an end that is not in the stream", Rules { marks_what_is_untold: false, ..AS_THEY_ARE }),
    ("a repetition ends newer tokens", Rules { a_repetition_ends_nothing_newer: false, ..AS_THEY_ARE }),
    ("an end is answered before a replica has it", Rules { an_end_is_confirmed: false, ..AS_THEY_ARE }),
    ("a cursor that need not exist", Rules { a_cursor_must_exist: false, ..AS_THEY_ARE }),
    ("the answer to another cursor is accepted", Rules { an_answer_names_its_question: false, ..AS_THEY_ARE }),
    ("a page without its time", Rules { a_page_has_its_time: false, ..AS_THEY_ARE }),
    ("a page is cached for a minute", Rules { a_page_is_cached_briefly: false, ..AS_THEY_ARE }),
];
