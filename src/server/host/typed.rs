//! Hubs that `hub!` describes: sessions, typed clients, and what the macro's expansion needs.

use std::{
    any::Any,
    fmt,
    future::{Future, poll_fn},
    marker::PhantomData,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use crate::lock::lock;

pub use futures_core::Stream;
use serde::Serialize;

use super::{
    arguments::HubArgument,
    caller::Caller,
    clients::{Client, Clients, Groups, Receivers},
    error::{HubError, HubResult},
    hub_server::HubServer,
    sender::HubSender,
};

/// A hub that [`hub!`](crate::hub) describes with `Served<…>`.
pub trait HubContract: Sized + 'static {
    /// Clients of the hub: they have the methods of its client's trait that want no result.
    type Receivers<'h>: From<Receivers<'h>>;
    /// One of them: it has all methods of its client's trait.
    type Client<'h>: From<Client<'h>>;
}

/// What can be sent where a client reads a `T`: a `T`, a reference to one, `&str` for a `String`, and for a `Vec` a slice or an
/// array of what can be sent in the place of its items.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent as a `{T}`",
    label = "the client reads a `{T}`",
    note = "what is sent implements `serde::Serialize`"
)]
pub trait SentAs<T: ?Sized>: Serialize {}

impl<T: Serialize> SentAs<T> for T {}
impl<T: Serialize> SentAs<T> for &T {}
impl SentAs<String> for &str {}
impl<T, U: SentAs<T>> SentAs<Vec<T>> for &[U] {}
impl<T, U: SentAs<T>, const N: usize> SentAs<Vec<T>> for [U; N] where Self: Serialize {}
impl<T, U: SentAs<T>, const N: usize> SentAs<Vec<T>> for &[U; N] where Self: Serialize {}

impl Caller {
    /// This caller of a typed hub, with its session; `None` if the hub keeps sessions of another type.
    ///
    /// It is for what knows callers without their types, such as
    /// [`authorize`](super::HubServerBuilder::authorize).
    #[must_use]
    pub fn typed<C: HubContract, S: Send + Sync + 'static>(&self) -> Option<Caller<C, S>> {
        session::<S>(&self.connection.session).is_some().then(|| self.with_types())
    }

    #[doc(hidden)]
    #[must_use]
    pub fn without_session<C: HubContract>(&self) -> Caller<C> {
        self.with_types()
    }

    #[doc(hidden)]
    pub fn begin_session<S: Send + Sync + 'static>(&self, session: S) {
        // There is one: a connection begins once.
        let _ = self.connection.session.set(Box::new(session));
    }
}

impl<C: HubContract, S: Send + Sync + 'static> Caller<C, S> {
    /// What the hub keeps for this connection.
    #[must_use]
    pub fn session(&self) -> &S {
        match session(&self.connection.session) {
            Some(session) => session,
            None => unreachable!("`typed` has found the session, which stays"),
        }
    }

    /// The clients of the hub, this one among them.
    #[must_use]
    pub fn clients(&self) -> TypedClients<'_, C> {
        TypedClients::new(Clients { sender: &self.sender, caller: Some(&self.connection.id) })
    }
}

/// Without a session there is `()`.
fn session<S: 'static>(kept: &super::caller::Session) -> Option<&S> {
    let session: &dyn Any = kept.get().map_or(&(), |session| &**session);
    session.downcast_ref()
}

impl HubServer {
    /// The clients and groups of a typed hub, to be called from outside of a method: ASP.NET Core's `IHubContext`. It can be
    /// kept, and does not keep the server up.
    ///
    /// ```no_run
    /// # hubwire::hub! {
    /// #     trait Chat: Hub<ChatClient> + Served<ChatHub> {}
    /// #     trait ChatClient { fn receive_message(user: String, text: String); }
    /// # }
    /// # async fn run(server: hubwire::server::HubServer) -> Result<(), hubwire::server::error::SendError> {
    /// let chat = server.context::<Chat>();
    /// chat.clients().user("ann").receive_message("system", "hello, Ann").await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn context<C: HubContract>(&self) -> HubContext<C> {
        HubContext { sender: self.hub.sender.clone(), contract: PhantomData }
    }
}

/// The clients and groups of a typed hub, from outside of its methods. It is cheap to clone.
pub struct HubContext<C> {
    sender: Arc<HubSender>,
    contract: PhantomData<fn() -> C>,
}

impl<C: HubContract> HubContext<C> {
    /// The clients.
    #[must_use]
    pub fn clients(&self) -> TypedClients<'_, C> {
        TypedClients::new(Clients { sender: &self.sender, caller: None })
    }

    /// The groups.
    #[must_use]
    pub fn groups(&self) -> Groups<'_> {
        Groups { sender: &self.sender }
    }
}

impl<C> Clone for HubContext<C> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), contract: PhantomData }
    }
}

impl<C> fmt::Debug for HubContext<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HubContext")
    }
}

/// The clients of a typed hub: whom to call.
///
/// ```no_run
/// # use hubwire::server::{Caller, HubResult};
/// # hubwire::hub! {
/// #     trait Chat: Hub<ChatClient> + Served<ChatHub> {}
/// #     trait ChatClient { fn receive_message(user: String, text: String); fn confirm(question: String) -> bool; }
/// # }
/// # async fn run(who: Caller<Chat>) -> HubResult {
/// who.clients().others_in_group("lobby").receive_message("Ann", "hello").await?;
/// let is_sure = who.clients().caller().confirm("Are you sure?").await?;
/// # Ok(())
/// # }
/// ```
pub struct TypedClients<'h, C> {
    clients: Clients<'h>,
    contract: PhantomData<fn() -> C>,
}

impl<'h, C: HubContract> TypedClients<'h, C> {
    fn new(clients: Clients<'h>) -> Self {
        Self { clients, contract: PhantomData }
    }

    /// Everybody.
    pub fn all(&self) -> C::Receivers<'h> {
        self.clients.all().into()
    }

    /// Everybody but these connections.
    pub fn all_except<S: Into<String>>(
        &self,
        connection_ids: impl IntoIterator<Item = S>,
    ) -> C::Receivers<'h> {
        self.clients.all().except(connection_ids).into()
    }

    /// Everybody but the caller; from outside of a call, everybody.
    pub fn others(&self) -> C::Receivers<'h> {
        self.clients.others().into()
    }

    /// The caller, which may also be asked for a result; from outside of a call, nobody.
    pub fn caller(&self) -> C::Client<'h> {
        self.clients.caller().into()
    }

    /// One connection, which may also be asked for a result.
    pub fn client(&self, connection_id: impl Into<String>) -> C::Client<'h> {
        self.clients.client(connection_id).into()
    }

    /// Several connections.
    pub fn clients<S: Into<String>>(&self, connection_ids: impl IntoIterator<Item = S>) -> C::Receivers<'h> {
        self.clients.clients(connection_ids).into()
    }

    /// A group.
    pub fn group(&self, name: impl Into<String>) -> C::Receivers<'h> {
        self.clients.group(name).into()
    }

    /// A group, without these connections.
    pub fn group_except<S: Into<String>>(
        &self,
        name: impl Into<String>,
        connection_ids: impl IntoIterator<Item = S>,
    ) -> C::Receivers<'h> {
        self.clients.group(name).except(connection_ids).into()
    }

    /// Several groups. A client that is in two of them gets the message twice, as in ASP.NET Core.
    pub fn groups<S: Into<String>>(&self, names: impl IntoIterator<Item = S>) -> C::Receivers<'h> {
        self.clients.groups(names).into()
    }

    /// A group, without the caller.
    pub fn others_in_group(&self, name: impl Into<String>) -> C::Receivers<'h> {
        self.clients.others_in_group(name).into()
    }

    /// All connections of a user.
    pub fn user(&self, id: impl Into<String>) -> C::Receivers<'h> {
        self.clients.user(id).into()
    }

    /// All connections of several users.
    pub fn users<S: Into<String>>(&self, ids: impl IntoIterator<Item = S>) -> C::Receivers<'h> {
        self.clients.users(ids).into()
    }
}

impl<C> Clone for TypedClients<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for TypedClients<'_, C> {}

impl<C> fmt::Debug for TypedClients<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TypedClients")
    }
}

/// The caller of a method with its session.
///
/// # Errors
/// When there is no session of that type, which cannot be.
pub fn typed<C: HubContract, S: Send + Sync + 'static>(caller: &Caller) -> HubResult<Caller<C, S>> {
    caller.typed().ok_or_else(|| HubError::new("the connection has no session"))
}

/// That a server can read an argument.
pub fn reads<T: HubArgument>() {}

/// That a server can write a result.
pub fn writes<T: Serialize>() {}

/// Takes the items of a stream that a block of code makes.
#[derive(Debug)]
pub struct Taker<T>(Arc<Mutex<Option<HubResult<T>>>>);

impl<T> Taker<T> {
    /// Gives all items of a stream, each when it is asked for.
    pub async fn all(self, items: impl Stream<Item = HubResult<T>>) {
        let mut items = pin!(items);
        while let Some(item) = poll_fn(|cx| items.as_mut().poll_next(cx)).await {
            self.give(item).await;
        }
    }

    /// Gives an error, as the last.
    pub async fn error(self, error: HubError) {
        self.give(Err(error)).await;
    }

    fn give(&self, item: HubResult<T>) -> impl Future<Output = ()> {
        *lock(&self.0) = Some(item);
        // What polls this takes the item, and polls again when it wants the next.
        let mut is_given = false;
        poll_fn(move |_| if std::mem::replace(&mut is_given, true) { Poll::Ready(()) } else { Poll::Pending })
    }
}

/// A stream of what a block of code gives. The stream that it gives may borrow what the block owns.
pub fn items<T, R>(block: impl FnOnce(Taker<T>) -> R) -> impl Stream<Item = HubResult<T>>
where
    R: Future<Output = ()>,
{
    let slot = Arc::default();
    let block = block(Taker(Arc::clone(&slot)));
    Items { slot, block: Some(Box::pin(block)) }
}

struct Items<T, R> {
    slot: Arc<Mutex<Option<HubResult<T>>>>,
    block: Option<Pin<Box<R>>>,
}

impl<T, R: Future<Output = ()>> Stream for Items<T, R> {
    type Item = HubResult<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let Some(block) = &mut this.block else { return Poll::Ready(None) };
        let polled = block.as_mut().poll(cx);
        let item = lock(&this.slot).take();
        match (item, polled) {
            (Some(item), _) => Poll::Ready(Some(item)),
            (None, Poll::Pending) => Poll::Pending,
            (None, Poll::Ready(())) => {
                this.block = None;
                Poll::Ready(None)
            }
        }
    }
}
