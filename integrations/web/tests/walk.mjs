// The page, as a user walks through it.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { dump } from "npyjs";

/** The file of an array. */
const npy = (data, shape) => Buffer.from(dump(data, shape));

/** Walks, with screenshots in a folder; returns how many steps failed. */
export async function walk(page, folder) {
    let failed = 0;
    await mkdir(folder, { recursive: true });
    const step = async (name, work) => {
        try {
            await work();
            console.log(`ok      the page: ${name}`);
        } catch (error) {
            failed += 1;
            console.log(`FAILED  the page: ${name}: ${error.message}`);
        }
        await page.screenshot({ path: join(folder, `${name.replaceAll(" ", "-")}.png`), fullPage: true });
    };
    const table = (id) => page.locator(`#${id} tr`).allInnerTexts();
    const choose = (...files) => page.locator("#files").setInputFiles(files.map(([name, buffer]) => ({ name, buffer, mimeType: "" })));
    const logits = npy(Float32Array.of(3.5, -3.45, 0.23, -2.14, 0.54, 2.67), [2, 3]);

    await step("device", async () => {
        await page.waitForFunction(() => /^on /.test(document.getElementById("device").textContent));
    });
    await step("a sample", async () => {
        await page.click("#sample");
        await page.waitForSelector("#result:not([hidden])");
        const lines = await table("numbers");
        if (!lines.some((line) => /rows that count\s+15360 of 15360/.test(line))) throw new Error(lines.join("; "));
    });
    await step("dropped files", async () => {
        await page.fill("#ignored", "255");
        // As a mouse drops them.
        const transfer = await page.evaluateHandle((files) => {
            const transfer = new DataTransfer();
            for (const [name, bytes] of files) transfer.items.add(new File([Uint8Array.from(bytes)], name));
            return transfer;
        }, [["logits.npy", [...logits]], ["labels.npy", [...npy(Uint8Array.of(0, 255), [2])]]]);
        await page.dispatchEvent("#drop", "drop", { dataTransfer: transfer });
        // The README's example: 0.038225.
        await page.waitForFunction(() => /mean loss\s*0\.038225/.test(document.getElementById("numbers").innerText));
        const lines = await table("numbers");
        if (!lines.some((line) => /1 of 2/.test(line))) throw new Error(lines.join("; "));
    });
    const refused = [
        ["a label that is no class", [["logits.npy", logits], ["labels.npy", npy(Uint8Array.of(0, 7), [2])]], /labels are out of range: the first is 7, at position 1/],
        ["a file that is none", [["logits.npy", logits], ["labels.npy", Buffer.from("hello, this is a text")]], /labels\.npy is no \.npy file/],
        ["one file", [["logits.npy", logits]], /1 files: drop two together/],
        ["two logits", [["a.npy", logits], ["b.npy", logits]], /one has floats, the logits, and one integers/],
    ];
    for (const [name, files, message] of refused) {
        await step(`refused ${name}`, async () => {
            await choose(...files);
            await page.waitForFunction(([source]) => new RegExp(source).test(document.getElementById("message").textContent), [message.source], { timeout: 20_000 });
        });
    }
    await step("speed", async () => {
        await page.click("#bench");
        await page.waitForFunction(() => document.querySelectorAll("#speeds tr").length === 7 && !document.getElementById("bench").disabled);
        for (const line of await table("speeds")) console.log(`        ${line.replaceAll(/\s+/g, " ")}`);
    });
    return failed;
}
