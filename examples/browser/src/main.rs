//! A host of wgpu-loss in a browser: it opens WebGPU devices, records losses, reads them back, and compares them with
//! f64. Its lines begin with `ok` or `FAILED`, and the last one with `end`. `scripts/test-browser` builds and runs it.

mod host;
mod losses;
mod own;
mod page;
mod refusals;
mod truth;

use host::Host;

/// The error of a case.
type Failure = Box<dyn std::error::Error>;

fn main() {
    // Without this hook a panic would stop the page without a message.
    std::panic::set_hook(Box::new(|panic| {
        page::report("a panic", Err(panic));
        page::end();
    }));
    wasm_bindgen_futures::spawn_local(async {
        page::report("everything was run", run().await);
        page::end();
    });
}

async fn run() -> Result<(), Failure> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    // In a browser an adapter gives one device.
    let adapter = || instance.request_adapter(&wgpu::RequestAdapterOptions::default());
    let bare = adapter().await?;
    page::line(&format!("adapter {:?}", bare.get_info()));
    page::line(&format!("features {:?}", bare.features()));
    for host in [Host::bare(&bare).await?, Host::wanted(&adapter().await?).await?] {
        losses::run(&host).await;
        refusals::run(&host).await;
        refusals::lose(host).await;
    }
    own::run().await?;
    // Errors that are not awaited arrive now.
    page::pause().await;
    Ok(())
}
