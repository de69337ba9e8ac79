//! A blob that goes to its repository while it is still being made, so that its last bytes are all that is left to
//! send when it is whole.
//!
//! Nobody knows its digest before, so the registry cannot be asked whether it has it: who calls must have a reason to
//! believe that it has not. A repository that holds nothing is one. What goes wrong here is no error: the blob is
//! pushed again as any other, and if all went well it is found there.

use std::fs::File;
use std::pin::pin;

use futures_util::future::{Either, select};
use reqwest::{Method, StatusCode};
use tokio::sync::oneshot;

use super::client::{Client, Flight, Target};
use super::error::RegistryError;
use super::options::Progress;
use super::patience::is_transient;
use super::session::{Session, Uploading};
use super::transport::Request;
use super::upload::Upload;
use crate::base::units::size;
use crate::base::{Activity, Content, Digest, Growing, chain};
use crate::image::reference::RegistryReference;

/// Bytes that are sent at once, at least: registries whose blobs lie in an object store want 5 MiB or more. What never
/// has as many is pushed when it is whole.
const LEAST: u64 = 8 << 20;
/// And at most: less than what the proxies before registries take.
const MOST: u64 = 48 << 20;

/// A push that was begun early. Dropped before its end, it is given up.
#[derive(Debug)]
pub struct EarlyPush {
    client: Client,
    repository: RegistryReference,
    end: oneshot::Sender<Whole>,
}

/// The blob, when it is whole.
struct Whole {
    content: Content,
    digest: Digest,
    /// Who pushes the blob in the ordinary way waits for this.
    turn: Flight,
}

impl std::fmt::Debug for Whole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Whole").field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl EarlyPush {
    /// The blob is whole. Returns at once; who pushes the blob then waits until it is there.
    pub fn end(self, content: Content, digest: Digest) {
        if let Some(turn) = self.client.free_turn(&self.repository, &digest) {
            let _ = self.end.send(Whole { content, digest, turn }); // one that was given up wants none
        }
    }
}

impl Client {
    /// Begins to push what is being written to `growing`, once it is large enough, to a repository that is empty, or
    /// in any case if the blob `is_new`: if nobody can have pushed it before. Nothing, if that cannot be.
    pub fn push_early(
        &self,
        repository: &RegistryReference,
        growing: &Growing,
        is_new: bool,
    ) -> Option<EarlyPush> {
        let target = self.target(repository).ok()?;
        if self.offline() || self.wants_whole(&target.host()) {
            return None;
        }
        let file = growing.open().ok()?;
        let (end, whole) = oneshot::channel();
        let asked = format!("push a blob in the making to `{}`", target.name);
        let early = Early { client: self.clone(), target, asked, growing: growing.clone(), is_new };
        self.start(move || early.run(file, whole)).ok()?;
        Some(EarlyPush { client: self.clone(), repository: repository.clone(), end })
    }
}

struct Early {
    client: Client,
    target: Target,
    asked: String,
    growing: Growing,
    is_new: bool,
}

/// How far a session is.
enum Sent {
    /// The registry has so many bytes.
    UpTo(u64),
    /// It has to be asked.
    Unknown,
}

impl Early {
    async fn run(mut self, file: File, mut whole: oneshot::Receiver<Whole>) {
        let begun = match select(&mut whole, pin!(self.begin())).await {
            Either::Right((begun, _)) => begun,
            Either::Left(_) => return, // it was small, or came to nothing
        };
        let mut session = match begun {
            Ok(Some(session)) => session,
            Ok(None) => return,
            Err(error) => return self.client.events().detail(chain(&error).to_string()),
        };
        let events = self.client.events().clone();
        let activity = events.begin("push", format!("{} while it is made", self.target.name), None);
        let upload = Upload::growing(file, &Progress::of(&events, activity.id()));
        let mut from = 0;
        let (whole, sent) = loop {
            let least = from + LEAST.max(session.least());
            let to = match select(&mut whole, pin!(self.growing.reaches(least))).await {
                Either::Left((whole, _)) => break (whole, Sent::UpTo(from)),
                Either::Right((Some(len), _)) => len.min(from.saturating_add(MOST.max(session.least()))),
                Either::Right((None, _)) => break ((&mut whole).await, Sent::UpTo(from)),
            };
            let sent = {
                let _transfer = self.client.transfer().await;
                session.part(&self.client, &self.target, &upload, (from, to), &self.asked).await
            };
            match sent {
                Ok(has) if has == to => from = has,
                Ok(has) => break ((&mut whole).await, Sent::UpTo(has)),
                Err(error) if may_go_on(&error) => {
                    events.detail(chain(&error).to_string());
                    break ((&mut whole).await, Sent::Unknown);
                }
                Err(error) => {
                    drop(whole); // nobody need wait any more
                    self.client.note_wants_whole(self.target.host());
                    events.detail(chain(&error).to_string());
                    activity.finish("given up: it is sent when it is whole");
                    return session.cancel(&self.client, &self.target, &self.asked).await;
                }
            }
        };
        match whole {
            Ok(whole) => self.end(session, sent, &whole, activity).await,
            Err(_) => {
                activity.finish("given up");
                session.cancel(&self.client, &self.target, &self.asked).await;
            }
        }
    }

    /// Opens a session when there is enough to send; nothing, if that is never so or the blob may be there.
    async fn begin(&mut self) -> Result<Option<Session>, RegistryError> {
        if self.growing.reaches(LEAST).await.is_none() || !(self.is_new || self.is_empty().await?) {
            return Ok(None);
        }
        self.client.hasty(1).open_upload(&self.target, &self.asked).await.map(Some)
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
        match response.status() {
            StatusCode::NOT_FOUND => Ok(true),
            StatusCode::OK => {
                let body = self.client.transport().read_body(&self.asked, response, LIMIT).await?;
                Ok(super::pull::tags_of(&body).is_some_and(|tags| tags.is_empty()))
            }
            _ => Err(self.client.refused(&self.target, &self.asked, response).await),
        }
    }

    /// Sends what is left.
    async fn end(&self, mut session: Session, sent: Sent, whole: &Whole, activity: Activity) {
        let Self { client, target, .. } = self;
        let Whole { content, digest, turn: _turn } = whole;
        let (asked, tail) =
            (format!("push the blob `{digest}` to `{}`", target.name), format!("blobs/{digest}"));
        let there = client.has(target, &tail, &[target.push_scope()], &asked).await;
        if !matches!(there, Ok(false)) || matches!(sent, Sent::UpTo(0)) {
            activity.finish(if matches!(there, Ok(true)) { "it was there" } else { "given up" });
            return session.cancel(client, target, &asked).await;
        }
        let upload = Upload::new(content, *digest, &Progress::of(client.events(), activity.id()));
        let mut uploading = Uploading::new(client, target, &upload, (content.len(), *digest), &asked);
        match sent {
            Sent::UpTo(from) => uploading = uploading.after(from),
            Sent::Unknown => {
                if !uploading.ask(&mut session).await {
                    return activity.finish("given up: it is sent anew");
                }
            }
        }
        match uploading.run(Some(session)).await {
            Ok(()) => activity.finish(size(content.len())),
            Err(error) => {
                client.events().detail(chain(&error).to_string());
                activity.finish("given up: it is sent anew");
            }
        }
    }
}

/// Whether the registry may have a part of what it was sent, and take the rest.
fn may_go_on(error: &RegistryError) -> bool {
    match error {
        RegistryError::Network { .. } | RegistryError::Stalled { .. } | RegistryError::Cut { .. } => true,
        RegistryError::Refused { answer, .. } => is_transient(answer.status),
        _ => false,
    }
}
