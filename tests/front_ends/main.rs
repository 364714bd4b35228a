//! Yew and Leptos where a server renders the page.

mod leptos_ssr;
mod yew_ssr;
