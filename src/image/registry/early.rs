//! A blob that goes to its repository while it is still being made: its bytes flow into an upload session as they are
//! written, and when it is whole, who pushes it finds them there and has only to name them.
//!
//! They go in one request without a length, as docker pushes: the distribution specification knows parts only, but
//! registries take this for docker's sake, and some take parts of few megabytes or none. Nobody knows the digest before
//! the end, so the registry cannot be asked whether it has the blob: it must be likely that it has not. What goes wrong
//! here is no error: the blob is then pushed like any other. A session that is left, as by a build that ends in an
//! error, the registry drops in its time.

use std::fs::File;
use std::pin::pin;

use futures_util::future::{Either, select};
use reqwest::{Method, StatusCode};
use tokio::sync::oneshot;

use super::client::{Blob, Client, Target};
use super::error::RegistryError;
use super::options::Progress;
use super::pull::{Head, tags_of};
use super::session::{Session, Uploading};
use super::transport::Request;
use super::upload::Upload;
use crate::base::units::size;
use crate::base::{Digest, Growing, Turn, chain};
use crate::image::reference::RegistryReference;

/// A blob that never has as many bytes is pushed when it is whole.
const LEAST: u64 = 8 << 20;
/// What says that a host takes nothing of unknown length (RFC 9110, section 15.5 and 15.6), or nothing so large.
const REFUSALS: [u16; 6] = [400, 405, 411, 413, 415, 501];

/// A push that was begun early. Dropped before its end, it is given up.
#[derive(Debug)]
pub struct EarlyPush {
    client: Client,
    repository: RegistryReference,
    end: oneshot::Sender<Whole>,
}

/// A blob that is whole.
#[derive(Debug)]
struct Whole {
    digest: Digest,
    /// Who pushes the blob waits for this.
    turn: Turn<Blob>,
}

impl EarlyPush {
    /// The blob is whole, and has this digest. Returns at once; who pushes it waits for what is under way.
    pub fn end(self, digest: Digest) {
        // Who was first with the same bytes has sent them.
        let turn = self.client.free_turn(&self.repository, &digest);
        let turn = turn.filter(|_| !self.client.has_begun(&self.repository, &digest));
        if let Some(turn) = turn {
            let _ = self.end.send(Whole { digest, turn }); // one that was given up wants none
        }
    }
}

impl Client {
    /// Begins to push what is being written to `growing`, once it is large enough, if `reference` is in its registry
    /// what it was `left` as by this machine, or the repository is empty: then it is likely that the registry has no
    /// such blob. Nothing, if that cannot be.
    pub fn push_early(
        &self,
        reference: &RegistryReference,
        left: Option<Digest>,
        growing: &Growing,
    ) -> Option<EarlyPush> {
        let target = self.target(reference).ok()?;
        if self.offline() || self.refuses_streams(&target.host()) {
            return None;
        }
        let file = growing.open().ok()?;
        let (end, whole) = oneshot::channel();
        let early = Early {
            client: self.clone(),
            asked: format!("push a blob in the making to `{}`", target.name),
            target,
            reference: reference.clone(),
            left,
            growing: growing.clone(),
        };
        self.start(move || early.run(file, whole)).ok()?;
        Some(EarlyPush { client: self.clone(), repository: reference.clone(), end })
    }
}

/// What there is of a blob in its registry before it is pushed.
pub(super) struct Begun {
    pub(super) session: Session,
    /// Bytes that the session has; where that is not known, it has to be asked.
    pub(super) sent: Option<u64>,
}

impl Begun {
    /// Sends what is missing and ends the session; `false`, if that does not come to its end.
    pub(super) async fn go_on(mut self, mut uploading: Uploading<'_>) -> bool {
        match self.sent.filter(|sent| *sent == uploading.len()) {
            Some(_) => uploading.has_all(),
            None if uploading.ask(&mut self.session).await => {}
            None => return false,
        }
        let events = uploading.events().clone();
        let done = uploading.run(Some(self.session)).await;
        done.map_err(|error| events.detail(chain(&error).to_string())).is_ok()
    }
}

struct Early {
    client: Client,
    target: Target,
    asked: String,
    reference: RegistryReference,
    left: Option<Digest>,
    growing: Growing,
}

/// How the bytes came to flow no more.
enum Flow {
    /// All are there.
    Done(u64),
    /// Some may be.
    Broke,
    /// The blob was there all the time, or is not wanted.
    Needless,
}

impl Early {
    async fn run(mut self, file: File, mut whole: oneshot::Receiver<Whole>) {
        if !matches!(select(&mut whole, pin!(self.growing.reaches(LEAST))).await, Either::Right((Some(_), _)))
        {
            return; // it was small, or whole before anybody looked
        }
        let Some(permit) = self.client.stream() else { return };
        // Not to be interrupted: who pushes the blob needs the same answers, tokens above all.
        let mut session = match self.begin().await {
            Ok(Some(session)) => session,
            Ok(None) => return,
            Err(error) => return self.client.events().detail(chain(&error).to_string()),
        };
        let (flow, known) = self.flow(&mut session, file, &mut whole).await;
        drop(permit);
        let known = match (known, &flow) {
            (None, Flow::Done(_) | Flow::Broke) => (&mut whole).await.ok(),
            (known, _) => known,
        };
        match (flow, known) {
            (Flow::Needless, known) | (_, known @ None) => {
                drop((known, whole)); // nobody is to wait for what follows
                session.cancel(&self.client, &self.target, &self.asked).await;
            }
            (flow, Some(Whole { digest, turn })) => {
                let sent = if let Flow::Done(sent) = flow { Some(sent) } else { None };
                self.client.leave(&self.reference, &digest, Begun { session, sent });
                drop(turn);
            }
        }
    }

    /// Opens a session; nothing, if the blob may be there.
    async fn begin(&self) -> Result<Option<Session>, RegistryError> {
        let hasty = self.client.hasty(1);
        let is_likely = match self.left {
            Some(left) => {
                let head = hasty.head(&self.target, &self.reference, true, &self.asked).await?;
                matches!(head, Head::Is(Some(found)) if found == left)
            }
            None => self.is_empty().await?,
        };
        match is_likely {
            true => hasty.open_upload(&self.target, &self.asked).await.map(Some),
            false => Ok(None),
        }
    }

    /// Whether the repository has no tag, or is not there at all.
    async fn is_empty(&self) -> Result<bool, RegistryError> {
        /// A list with a tag or two.
        const LIMIT: u64 = 64 << 10;
        let mut url = self.target.url("tags/list");
        url.set_query(Some("n=1"));
        let request = Request::new(Method::GET, url, &self.asked);
        // With the scope of what comes next, so that one token does for both.
        let response = self.client.request(&self.target, &[self.target.push_scope()], &request).await?;
        if response.status() == StatusCode::OK {
            let body = self.client.transport().read_body(&self.asked, response, LIMIT).await?;
            return Ok(tags_of(&body).is_some_and(|tags| tags.is_empty()));
        }
        match self.client.refused(&self.target, &self.asked, response).await {
            RegistryError::NotFound { answer, .. } if answer.has_code(&["NAME_UNKNOWN"]) => Ok(true),
            error => Err(error),
        }
    }

    /// Sends what is written until there is no more. When the blob is whole before that, and the registry has it, the
    /// rest need not be sent.
    async fn flow(
        &self,
        session: &mut Session,
        file: File,
        whole: &mut oneshot::Receiver<Whole>,
    ) -> (Flow, Option<Whole>) {
        let Self { client, target, asked, .. } = self;
        let activity = client.events().begin("send", format!("{} while it is made", target.name), None);
        let progress = Progress::of(client.events(), activity.id());
        let upload = Upload::growing(file, self.growing.clone(), &progress);
        let mut sending = pin!(session.stream(client, target, &upload, asked));
        let mut known = None;
        let sent = match select(sending.as_mut(), whole).await {
            Either::Left((sent, _)) => Some(sent),
            Either::Right((Err(_), _)) => None,
            Either::Right((Ok(whole), _)) => {
                let (tail, scopes) = (format!("blobs/{}", whole.digest), [target.push_scope()]);
                known = Some(whole);
                let hasty = client.hasty(1);
                match select(sending.as_mut(), pin!(hasty.has(target, &tail, &scopes, asked))).await {
                    Either::Left((sent, _)) => Some(sent),
                    Either::Right((Ok(true), _)) => None,
                    Either::Right(_) => Some(sending.await),
                }
            }
        };
        let (flow, outcome) = match sent {
            Some(Ok(sent)) => (Flow::Done(sent), size(sent)),
            Some(Err(error)) => {
                if let RegistryError::Refused { answer, .. } = &error
                    && REFUSALS.contains(&answer.status)
                {
                    client.note_refused_stream(target.host());
                }
                client.events().detail(chain(&error).to_string());
                (Flow::Broke, "broke off".to_owned())
            }
            None => (Flow::Needless, "not needed".to_owned()),
        };
        activity.finish(outcome);
        (flow, known)
    }
}
