//! A hub that `hub!` describes once, for its server and its clients.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{Stream, StreamExt as _, stream};
use hubwire::server::{
    Caller, HubContext, HubError, HubResult, HubServer, Identity, Incoming, Rejection,
    error::ClientResultError,
};
use hubwire::{HubConnection, HubProtocol, Upload};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Line {
    room: String,
    text: String,
}

hubwire::hub! {
    /// A chat in rooms.
    trait Chat: Hub<ChatClient> + Served<ChatHub> {
        /// Goes into a room.
        fn join(room: &str);
        fn say(line: &Line) -> usize;
        #[name = "people.online"]
        fn people(rooms: &[&str], at_least: Option<u8>) -> Vec<String>;
        send fn forget(rooms: &[String; 2]);
        stream fn history(room: &'static str, last: u32) -> Line;
        fn lengths(texts: Upload<&str>, names: Upload<String>) -> (usize, usize);
        stream fn upper(texts: Upload<String>, by: (u32, &Line)) -> String;
        fn erase(room: String) -> bool;
        fn whoami() -> String;
        #[cfg(any())]
        fn never_compiled(value: NoSuchType);
    }

    trait ChatClient {
        fn heard(from: String, line: Line);
        fn rooms(names: Vec<String>, counts: Vec<u32>);
        #[name = "are.you.sure"]
        fn confirm(question: String) -> bool;
    }
}

/// What the hub keeps for a connection.
#[derive(Debug)]
struct User {
    name: String,
    said: Mutex<usize>,
}

#[derive(Debug, Default)]
struct Rooms {
    lines: Mutex<BTreeMap<String, Vec<Line>>>,
    /// Who has gone, and how much they had said.
    gone: Option<mpsc::UnboundedSender<(String, usize)>>,
    /// Tells when a stream has ended that borrowed from here.
    ended: Arc<tokio::sync::Notify>,
}

struct Ends(Arc<tokio::sync::Notify>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl ChatHub for Rooms {
    type Session = User;

    async fn connected(&self, who: Caller<Chat>) -> HubResult<User> {
        let name = who.user_id().ok_or_else(|| HubError::new("who are you?"))?.to_owned();
        who.groups().add(who.connection_id(), "everybody").await?;
        who.clients().caller().rooms(vec!["lobby".to_owned()], [1, 2]).await?;
        Ok(User { name, said: Mutex::new(0) })
    }

    async fn disconnected(&self, who: Caller<Chat, User>) {
        let User { name, said } = who.session();
        let gone = (name.clone(), *said.lock().expect("a lock"));
        self.gone.as_ref().expect("a channel").send(gone).expect("it is waited for");
    }

    async fn join(&self, who: Caller<Chat, User>, room: String) -> HubResult {
        who.groups().add(who.connection_id(), &room).await?;
        Ok(())
    }

    async fn say(&self, who: Caller<Chat, User>, line: Line) -> HubResult<usize> {
        if line.text.is_empty() {
            return Err(HubError::new("say something"));
        }
        let User { name, said } = who.session();
        who.clients().others_in_group(&line.room).heard(name, &line).await?;
        self.lines.lock().expect("a lock").entry(line.room.clone()).or_default().push(line);
        let mut said = said.lock().expect("a lock");
        *said += 1;
        Ok(*said)
    }

    async fn people(
        &self,
        who: Caller<Chat, User>,
        rooms: Vec<String>,
        at_least: Option<u8>,
    ) -> HubResult<Vec<String>> {
        let mut people = Vec::new();
        let at_least = at_least.map_or(0, usize::from);
        for room in rooms {
            let members = who.groups().members(&room, None, 10).await?;
            if members.len() >= at_least {
                people.extend(members.into_iter().filter_map(|(_, user)| user));
            }
        }
        people.sort();
        Ok(people)
    }

    async fn forget(&self, _: Caller<Chat, User>, rooms: [String; 2]) -> HubResult {
        self.lines.lock().expect("a lock").retain(|room, _| !rooms.contains(room));
        Ok(())
    }

    fn history(
        &self,
        _: Caller<Chat, User>,
        room: String,
        last: u32,
    ) -> impl Stream<Item = HubResult<Line>> + Send {
        // It borrows the hub between two items.
        let ends = Ends(self.ended.clone());
        stream::iter(0..last).then(move |number| {
            let (room, _ends) = (room.clone(), &ends);
            let line = self.line(&room, number);
            async move {
                tokio::task::yield_now().await;
                line.ok_or_else(|| HubError::new(format!("{room} has {number} lines")))
            }
        })
    }

    async fn lengths(
        &self,
        _: Caller<Chat, User>,
        mut texts: Incoming<String>,
        mut names: Incoming<String>,
    ) -> HubResult<(usize, usize)> {
        let mut lengths = (0, 0);
        while let Some(text) = texts.next().await {
            lengths.0 += text?.len();
        }
        while let Some(name) = names.next().await {
            lengths.1 += name?.len();
        }
        Ok(lengths)
    }

    fn upper(
        &self,
        who: Caller<Chat, User>,
        texts: Incoming<String>,
        (count, line): (u32, Line),
    ) -> impl Stream<Item = HubResult<String>> + Send {
        texts.map(move |text| {
            Ok(format!("{}{}{count}{}", who.session().name, line.text, text?.to_uppercase()))
        })
    }

    async fn erase(&self, who: Caller<Chat, User>, room: String) -> HubResult<bool> {
        let is_sure = who.clients().caller().confirm(&format!("Erase {room}?")).await?;
        if is_sure {
            self.lines.lock().expect("a lock").remove(&room);
            who.clients()
                .group_except("everybody", [who.connection_id()])
                .rooms(&[] as &[String], &[0])
                .await?;
        }
        Ok(is_sure)
    }

    async fn whoami(&self, who: Caller<Chat, User>) -> HubResult<String> {
        Ok(who.session().name.clone())
    }
}

impl Rooms {
    fn line(&self, room: &str, number: u32) -> Option<Line> {
        let lines = self.lines.lock().expect("a lock");
        lines.get(room)?.get(number as usize).cloned()
    }
}

async fn serve(rooms: Rooms) -> (HubServer, String) {
    let hub = Chat::serve(rooms)
        .authenticate(|request| {
            let user = request.query("user").map(str::to_owned);
            async move { Ok::<_, Rejection>(user.map_or_else(Identity::anonymous, Identity::user)) }
        })
        .authorize("Erase", |caller| {
            caller.typed::<Chat, User>().is_some_and(|who| who.session().name == "ann")
        })
        // What has no place in the contract may stand beside it.
        .on("Version", |caller: Caller| async move { Ok((7, caller.typed::<Chat, User>().is_some())) })
        .build();
    let url = address_of(hub.clone()).await;
    (hub, url)
}

async fn address_of(hub: HubServer) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let app = axum::Router::new().nest_service("/chat", hub);
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}/chat")
}

fn client(url: &str, user: &str, protocol: HubProtocol) -> Chat {
    let hub = HubConnection::builder(format!("{url}?user={user}")).with_protocol(protocol);
    Chat::new(hub.build().expect("a connection"))
}

async fn each(test: impl AsyncFn(Chat, Chat, HubServer)) {
    for &protocol in HubProtocol::ALL {
        let (gone, mut went) = mpsc::unbounded_channel();
        let (hub, url) = serve(Rooms { gone: Some(gone), ..Rooms::default() }).await;
        // The other speaks the other protocol.
        let other = HubProtocol::ALL.iter().copied().find(|other| *other != protocol).expect("two protocols");
        let (ann, bob) = (client(&url, "ann", protocol), client(&url, "bob", other));
        let in_time = tokio::time::timeout(Duration::from_secs(20), async {
            test(ann.clone(), bob.clone(), hub).await;
            for chat in [ann, bob] {
                chat.connection().stop().await;
            }
            let mut gone = [went.recv().await, went.recv().await].map(Option::unwrap);
            gone.sort();
            gone
        });
        let gone = in_time.await.expect("in time");
        assert_eq!(gone, [("ann".to_owned(), 0), ("bob".to_owned(), 1)]);
    }
}

fn line(room: &str, text: &str) -> Line {
    Line { room: room.to_owned(), text: text.to_owned() }
}

#[tokio::test]
async fn both_ends_have_one_contract() {
    each(async |ann, bob, server| {
        let (told, mut heard) = mpsc::unbounded_channel();
        let (rooms, mut counted) = mpsc::unbounded_channel();
        let _heard = ann.on().heard(move |from, line| told.send((from, line)).expect("it is waited for"));
        let _rooms = ann.on().rooms(move |names, counts| rooms.send((names, counts)).expect("so is this"));
        ann.connection().start().await.expect("it starts");
        bob.connection().start().await.expect("it starts");
        assert_eq!(
            counted.recv().await,
            Some((vec!["lobby".to_owned()], vec![1, 2])),
            "told when it connected"
        );

        ann.join("lobby").await.expect("it joins");
        assert_eq!(bob.say(&line("lobby", "hello")).await.expect("it is said"), 1);
        assert_eq!(heard.recv().await, Some(("bob".to_owned(), line("lobby", "hello"))));
        let refused = bob.say(&line("lobby", "")).await.expect_err("nothing to say").to_string();
        assert!(refused.ends_with("HubException: say something"), "{refused}");
        let people = ann.people(&["everybody", "lobby"], Some(2)).await.expect("an answer");
        assert_eq!(people, ["ann", "bob"]);
        assert_eq!(bob.whoami().await.expect("an answer"), "bob");

        let chat: HubContext<Chat> = server.context();
        chat.clients().group("lobby").heard("the server", &line("lobby", "news")).await.expect("it is sent");
        assert_eq!(heard.recv().await, Some(("the server".to_owned(), line("lobby", "news"))));
        let version = ann.connection().invoke::<(u32, bool)>("Version", ()).await.expect("an answer");
        assert_eq!(version, (7, true));
    })
    .await;
}

#[tokio::test]
async fn streams_borrow_the_hub_and_end_with_their_caller() {
    let (gone, _went) = mpsc::unbounded_channel();
    let rooms = Rooms { gone: Some(gone), ..Rooms::default() };
    let lines = (0..100).map(|number| line("long", &number.to_string())).collect::<Vec<_>>();
    rooms.lines.lock().expect("a lock").insert("long".to_owned(), lines.clone());
    let ended = rooms.ended.clone();
    let (_hub, url) = serve(rooms).await;
    let in_time = tokio::time::timeout(Duration::from_secs(20), async {
        for &protocol in HubProtocol::ALL {
            let ann = client(&url, "ann", protocol);
            ann.connection().start().await.expect("it starts");
            let history = ann.history("long", 100).await.expect("a stream");
            let history: Vec<_> = history.map(|line| line.expect("a line")).collect().await;
            assert_eq!(history, lines);
            ended.notified().await;
            let mut short = ann.history("nowhere", 1).await.expect("a stream");
            let error = short.next().await.expect("an end").expect_err("no line").to_string();
            assert!(error.ends_with("HubException: nowhere has 0 lines"), "{error}");
            ended.notified().await;
            let mut broken_off = ann.history("long", 100).await.expect("a stream");
            assert_eq!(broken_off.next().await.expect("a line").expect("it"), lines[0]);
            drop(broken_off);
            ended.notified().await;

            let texts = Upload::new(stream::iter(["a", "bc"]));
            let names = Upload::new(stream::iter(["d".to_owned()]));
            assert_eq!(ann.lengths(texts, names).await.expect("lengths"), (3, 1));
            let texts = Upload::new(stream::iter(["a", "b"].map(str::to_owned)));
            let upper = ann.upper(texts, (2, &line("", ":"))).await.expect("a stream");
            let upper: Vec<_> = upper.map(|text| text.expect("a text")).collect().await;
            assert_eq!(upper, ["ann:2A", "ann:2B"]);
            ann.forget(&["none".to_owned(), "other".to_owned()]).await.expect("it is sent");
            ann.connection().stop().await;
        }
    });
    in_time.await.expect("in time");
}

#[tokio::test]
async fn clients_answer_and_policies_see_sessions() {
    each(async |ann, bob, server| {
        let (rooms, mut counted) = mpsc::unbounded_channel();
        let _rooms =
            bob.on().rooms(move |names, counts| rooms.send((names, counts)).expect("it is waited for"));
        let _confirm = ann.on().confirm(|question| async move { question == "Erase lobby?" });
        ann.connection().start().await.expect("it starts");
        bob.connection().start().await.expect("it starts");
        bob.say(&line("lobby", "hello")).await.expect("it is said");
        assert!(counted.recv().await.is_some(), "told when it connected");

        assert!(!ann.erase("attic".to_owned()).await.expect("an answer"));
        assert!(ann.erase("lobby".to_owned()).await.expect("an answer"));
        assert_eq!(counted.recv().await, Some((vec![], vec![0])), "told to all but the caller");
        let refused = bob.erase("lobby".to_owned()).await.expect_err("not bob").to_string();
        assert!(refused.ends_with("Failed to invoke 'Erase' because user is unauthorized"), "{refused}");

        let context = server.context::<Chat>();
        let ask = |id: Option<String>| {
            let context = context.clone();
            async move { context.clients().client(id.expect("an id")).confirm("Erase lobby?").await }
        };
        assert_eq!(ask(ann.connection().connection_id()).await, Ok(true));
        let error = ask(bob.connection().connection_id()).await.expect_err("bob answers nothing");
        assert!(matches!(error, ClientResultError::Client(_)), "{error}");
        assert_eq!(ask(Some("nobody".to_owned())).await, Err(ClientResultError::NotConnected));
    })
    .await;
}

#[tokio::test]
async fn who_is_refused_has_no_session_and_does_not_leave() {
    let (gone, mut went) = mpsc::unbounded_channel();
    let (_hub, url) = serve(Rooms { gone: Some(gone), ..Rooms::default() }).await;
    let nobody = Chat::new(HubConnection::builder(&url).build().expect("a connection"));
    let in_time = tokio::time::timeout(Duration::from_secs(20), async {
        // The handshake has answered before the hub says no.
        let _ = nobody.connection().start().await;
        let closed = nobody.connection().closed().await.to_string();
        assert!(closed.ends_with("who are you?"), "{closed}");
        let ann = client(&url, "ann", HubProtocol::Json);
        ann.connection().start().await.expect("it starts");
        ann.connection().stop().await;
        // The first who has left.
        assert_eq!(went.recv().await, Some(("ann".to_owned(), 0)));
    });
    in_time.await.expect("in time");
}

/// Names that the macro uses itself, for types, arguments and methods.
mod names {
    use super::{Caller, HubConnection, HubResult, Stream, stream};

    type Client = u8;
    type Receivers = u16;

    hubwire::hub! {
        #[allow(dead_code, reason = "it is compiled")]
        pub(super) trait Odd: Hub<OddClient> + Served<OddHub> {
            fn all(who: Client, hub: Receivers, caller: u8, r#type: &'static str, to: ((u8, &[&str]), [u8; 2]))
                -> Option<Vec<(Client, Receivers, String)>>;
            #[deprecated = "it is old"]
            fn old(builder: u8);
            stream fn serve_all(self_: &&u8, items: &[u8; 3]) -> Client;
            send fn none();
        }

        trait OddClient {
            #[deprecated]
            fn receivers(r#type: Client, connection: Receivers);
            fn client(n: Client) -> Receivers;
        }
    }

    struct One;

    impl OddHub for One {
        type Session = ();

        async fn connected(&self, _: Caller<Odd>) -> HubResult {
            Ok(())
        }

        async fn all(
            &self,
            who: Caller<Odd>,
            first: u8,
            second: u16,
            third: u8,
            text: String,
            ((fourth, texts), numbers): ((u8, Vec<String>), [u8; 2]),
        ) -> HubResult<Option<Vec<(u8, u16, String)>>> {
            let asked = who.clients().caller().client(first).await?;
            Ok(Some(vec![(first + third + fourth + numbers[1], second + asked, text + &texts.concat())]))
        }

        async fn old(&self, _: Caller<Odd>, _: u8) -> HubResult {
            Ok(())
        }

        fn serve_all(
            &self,
            _: Caller<Odd>,
            first: u8,
            items: [u8; 3],
        ) -> impl Stream<Item = HubResult<u8>> + Send {
            stream::iter(items.into_iter().map(move |item| Ok(first + item)))
        }

        async fn none(&self, _: Caller<Odd>) -> HubResult {
            Ok(())
        }
    }

    #[tokio::test]
    async fn names_do_not_meet() {
        let url = super::address_of(Odd::serve(One).build()).await;
        let odd = Odd::new(HubConnection::builder(&url).build().expect("a connection"));
        let _answer = odd.on().client(|n| u16::from(n) * 10);
        odd.connection().start().await.expect("it starts");
        let answer = odd.all(1, 2, 3, "a", ((4, &["b", "c"]), [0, 5])).await.expect("an answer");
        assert_eq!(answer, Some(vec![(13, 12, "abc".to_owned())]));
        let mut items = odd.serve_all(&&1, &[1, 2, 3]).await.expect("a stream");
        assert_eq!(items.next().await.map(Result::ok), Some(Some(2)));
        odd.connection().stop().await;
    }
}
