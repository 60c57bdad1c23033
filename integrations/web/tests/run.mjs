// Opens the tests, and the page, in a headless Chromium: scripts/test-web runs this.
//
//   node run.mjs FOLDER SCREENSHOTS    FOLDER is what scripts/build-web has built, with the tests beside it

import { createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { chromium } from "playwright-core";
import { walk } from "./walk.mjs";

const [folder, screenshots] = process.argv.slice(2);
const limit = 1000 * Number(process.env.BROWSER_TIMEOUT ?? 600);
const flags = process.env.CHROMIUM_FLAGS ?? "--enable-unsafe-webgpu --use-webgpu-adapter=swiftshader";
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm", ".css": "text/css" };

const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url, "http://localhost").pathname);
    const file = join(folder, path.endsWith("/") ? `${path}index.html` : path);
    const found = await stat(file).then((found) => found.isFile(), () => false);
    response.writeHead(found ? 200 : 404, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" });
    if (found) createReadStream(file).pipe(response);
    else response.end();
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const address = `http://127.0.0.1:${server.address().port}`;

const root = process.getuid?.() === 0;
const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: [...flags.split(" ").filter(Boolean), ...(root ? ["--no-sandbox"] : [])],
});
console.log(`Chromium ${browser.version()}`);
let failed = 0;
try {
    failed += await tests();
    failed += await walk(await opened("/page/"), screenshots);
} finally {
    await browser.close();
    server.close();
}
console.log(failed === 0 ? "all passed" : `${failed} failed`);
process.exit(failed === 0 ? 0 : 1);

/** Returns a page whose errors are told. */
async function opened(path) {
    const page = await browser.newPage({ viewport: { width: 1100, height: 900 } });
    page.setDefaultTimeout(limit);
    page.on("pageerror", (error) => console.log(`an error of the page: ${error}`));
    await page.goto(address + path);
    return page;
}

/** Runs the tests, and returns how many failed. */
async function tests() {
    const examples = (await readdir(join(folder, "tests/readme"))).filter((name) => name.endsWith(".js")).length;
    const page = await opened(`/tests/?examples=${examples}&only=${encodeURIComponent(process.env.ONLY ?? "")}`);
    let told = 0;
    for (const end = Date.now() + limit; ; await page.waitForTimeout(200)) {
        const { lines, failed, done } = await page.evaluate(() => window.report ?? { lines: [], failed: 0, done: false });
        lines.slice(told).forEach((line) => console.log(line));
        told = lines.length;
        if (done && told === 0) {
            console.log(`no test has ${process.env.ONLY} in its name`);
            return 1;
        }
        if (done) return failed;
        if (Date.now() > end) {
            console.log("the tests did not reach their end");
            return failed + 1;
        }
    }
}
