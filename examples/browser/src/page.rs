//! Lines for people who look at the page, and for the script that reads the console.

use std::cell::Cell;
use std::fmt::Display;

thread_local! {
    static FAILURES: Cell<u32> = const { Cell::new(0) };
}

/// Writes a line to the page and to the console.
pub fn line(text: &str) {
    let text = text.trim_end().replace('\n', " / ");
    web_sys::console::log_1(&text.as_str().into());
    let document = web_sys::window().and_then(|window| window.document());
    if let Some(lines) = document.and_then(|document| document.get_element_by_id("lines")) {
        let so_far = lines.text_content().unwrap_or_default();
        lines.set_text_content(Some(&format!("{so_far}{text}\n")));
    }
}

/// Reports the outcome of a case.
pub fn report(name: &str, outcome: Result<(), impl Display>) {
    match outcome {
        Ok(()) => line(&format!("ok {name}")),
        Err(error) => {
            FAILURES.set(FAILURES.get() + 1);
            line(&format!("FAILED {name}: {error}"));
        }
    }
}

/// Writes the last line.
pub fn end() {
    let text = match FAILURES.get() {
        0 => "all passed".to_string(),
        failures => format!("{failures} failed"),
    };
    line(&format!("end: {text}"));
    if let Some(document) = web_sys::window().and_then(|window| window.document()) {
        document.set_title(&format!("wgpu-loss: {text}"));
    }
}

/// Lets the browser run its own work.
pub async fn pause() {
    let turn = js_sys::Promise::new(&mut |resolve, _| {
        if let Some(window) = web_sys::window() {
            let _ = window.set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, 1);
        }
    });
    let _ = wasm_bindgen_futures::JsFuture::from(turn).await;
}
