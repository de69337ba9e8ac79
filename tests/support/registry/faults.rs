//! What a [`FakeRegistry`](super::FakeRegistry) does wrong, and bytes to do it with.

/// What the registry does wrong, or demands.
#[derive(Clone, Default)]
pub(crate) struct Faults {
    /// Bearer tokens of its own token server are demanded.
    pub(crate) bearer: bool,
    /// This value of `Authorization` is demanded; with `bearer`, of the token server's clients.
    pub(crate) basic: Option<String>,
    /// The refresh token that the token server demands.
    pub(crate) refresh: Option<String>,
    /// The realm, if the token server is elsewhere.
    pub(crate) realm: Option<String>,
    /// A token is good for so many requests.
    pub(crate) token_uses: Option<usize>,
    /// `expires_in` of its tokens.
    pub(crate) expires_in: Option<u64>,
    /// GETs of blobs are redirected there (scheme and host).
    pub(crate) redirect: Option<String>,
    /// A mount is answered with 202.
    pub(crate) mount_refused: bool,
    /// PUTs are answered without `Location` and digest.
    pub(crate) bare_answers: bool,
    /// Upload URLs are absolute.
    pub(crate) absolute_location: bool,
    /// One bit of each blob is wrong.
    pub(crate) corrupt: bool,
    /// The connection ends in the middle of a blob.
    pub(crate) truncate: bool,
    /// Of this blob the half comes, and then nothing, with the connection open.
    pub(crate) stall: Option<String>,
    /// Blobs have an extra byte and no announced length.
    pub(crate) overlong: bool,
    /// The digest that is claimed for a manifest.
    pub(crate) claimed: Option<String>,
    /// HEAD is answered with 405.
    pub(crate) no_head: bool,
    /// Uploads are refused with this status and body.
    pub(crate) refuse_upload: Option<(u16, String)>,
    /// Tags on a page.
    pub(crate) page: Option<usize>,
    /// What goes wrong with single requests.
    pub(crate) rules: Vec<Rule>,
    /// Who is told when a connection stalls.
    pub(crate) stalls: Option<tokio::sync::watch::Sender<bool>>,
    /// Parts of a blob are not to be had.
    pub(crate) no_ranges: bool,
    /// An upload that broke is forgotten.
    pub(crate) forgetful: bool,
    /// Larger bodies are answered with 413.
    pub(crate) largest: Option<usize>,
    /// Of five requests one goes wrong in some way, by this number, which is never 0.
    pub(crate) random: Option<u64>,
}

/// One thing that goes wrong: with requests of this method (any, if it is empty) whose path contains this, as often
/// as it says.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) times: usize,
    pub(crate) wrong: Wrong,
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub(crate) enum Wrong {
    /// Answered with this, and nothing done.
    Answer(u16, &'static [(&'static str, &'static str)], &'static str),
    /// So many bytes of the request's body are taken, and the connection ends.
    Take(usize),
    /// All of the request is done, and the connection ends without an answer.
    Mute,
    /// So many bytes of the answer's body come, and the connection ends.
    Cut(usize),
    /// So many bytes of the answer's body come, and then nothing, with the connection open.
    Stall(usize),
    /// Nothing comes at all, with the connection open.
    Silence,
    /// A bit of the answer's body is wrong.
    Corrupt,
    /// The answer lacks this header.
    Without(&'static str),
    /// The answer has this header instead.
    With(&'static str, &'static str),
}

/// Bytes that no two parts of are the same, by a number.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..length.div_ceil(8)).flat_map(|_| next().to_le_bytes()).take(length).collect()
}

/// A rule for a [`FakeRegistry`].
pub(crate) fn rule(method: &'static str, path: &'static str, times: usize, wrong: Wrong) -> Rule {
    Rule { method, path, times, wrong }
}

/// An answer without a word.
pub(crate) fn answer(status: u16) -> Wrong {
    Wrong::Answer(status, &[], "")
}
