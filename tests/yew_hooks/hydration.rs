//! What a server has rendered goes on in the browser.

use yew::Renderer;

use super::served::{HTML, Page as Served, Props};
use crate::page::Page;
use crate::{test, url};

test! {
    async fn a_page_of_a_server_is_hydrated_and_live() {
        let page = Page::new(HTML);
        let (state, button) = (page.find("#state").unwrap(), page.find("button").unwrap());
        let props = Props { url: url("/hub") };
        let app = Renderer::<Served>::with_root_and_props(page.0.clone(), props).hydrate();
        page.shows("#state", "Connected").await;
        assert!(page.find("#state").as_ref() == Some(&state), "the server's element is used");
        assert!(page.find("button").as_ref() == Some(&button), "the server's element is used");
        page.shows("#last", "Some(9) true").await;
        page.shows("#items", "10 true").await;
        page.shows("h1#resource", "7").await;
        page.click("button");
        page.shows("#sum", "Some(Some(3))").await;
        app.destroy();
    }
}
