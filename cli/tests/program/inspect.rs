//! Views of losses: heatmaps and histograms of the losses of rows.

use std::io::Cursor;

use crate::support::{Folder, bytes, npy, tuple};
use serde_json::Value;

const IGNORED: [u8; 3] = [150, 150, 150];
const BROKEN: [u8; 3] = [0, 229, 255];
/// The ends of the scale.
const LEAST: [u8; 3] = [0, 0, 4];
const MOST: [u8; 3] = [252, 255, 164];

/// The corner of the image.
const CORNER: [usize; 2] = [24, 84];

/// A picture's width, height and dots.
struct Picture {
    width: usize,
    height: usize,
    dots: Vec<u8>,
}

impl Picture {
    fn load(folder: &Folder, name: &str) -> Self {
        let file = std::fs::read(folder.path(name)).unwrap();
        let mut png = png::Decoder::new(Cursor::new(file)).read_info().unwrap();
        let mut dots = vec![0; png.output_buffer_size().unwrap()];
        png.next_frame(&mut dots).unwrap();
        let (width, height) = (png.info().width as usize, png.info().height as usize);
        Self { width, height, dots }
    }

    fn at(&self, x: usize, y: usize) -> [u8; 3] {
        self.dots[3 * (y * self.width + x)..][..3].try_into().unwrap()
    }

    /// The colour of a pixel of the image, at its first and at its last dot.
    #[track_caller]
    fn pixel(&self, x: usize, y: usize, factor: usize) -> [u8; 3] {
        let [left, top] = [CORNER[0] + x * factor, CORNER[1] + y * factor];
        let first = self.at(left, top);
        assert_eq!(first, self.at(left + factor - 1, top + factor - 1), "{x} {y}");
        first
    }
}

/// Logits of two classes for two images of 3 by 2 pixels; the other class's is 0 everywhere.
fn images() -> Folder {
    let folder = Folder::new();
    let first = [9.0f32; 6];
    // Losses of log(1 + exp(-x)) at label 0.
    let second = [-3.0f32, -2.0, 0.0, 8.0, f32::NAN, 5.0];
    let zeros = [0.0f32; 6];
    folder.save("x.npy", &[2, 2, 2, 3], &[first, zeros, second, zeros].concat());
    let mut labels = [0u8; 12];
    labels[11] = 255;
    folder.save("t.npy", &[2, 2, 3], &labels);
    folder
}

const WORDS: &str = "cross-entropy x.npy t.npy --ignore-index 255";

#[test]
fn a_heatmap_shows_each_pixel() {
    let folder = images();
    let json = folder.json(&format!("{WORDS} --heatmap h.png --sample 1"));
    assert_eq!(json["saved"], serde_json::json!(["h.png"]));
    let heatmap = &json["heatmap"];
    assert_eq!(
        (&heatmap["sample"], &heatmap["width"], &heatmap["height"]),
        (&1.into(), &3.into(), &2.into())
    );
    assert_eq!((&heatmap["ignored"], &heatmap["nonfinite"]), (&1.into(), &1.into()));
    assert_eq!(heatmap["from"], 0.0);
    let most = 3f64.exp().ln_1p();
    for (key, wanted) in [("to", most), ("most", most)] {
        assert!((heatmap[key].as_f64().unwrap() - wanted).abs() < 1e-6, "{heatmap}");
    }
    // 300 dots for each of 3 pixels, and room for the scale.
    let picture = Picture::load(&folder, "h.png");
    assert!(picture.width > 900 + 100 && picture.height > 600 + 100);
    let pixel = |x, y| picture.pixel(x, y, 300);
    assert_eq!(pixel(0, 0), MOST);
    assert_eq!(pixel(0, 1), LEAST);
    assert_eq!(pixel(1, 1), BROKEN);
    assert_eq!(pixel(2, 1), IGNORED);
    let light = |[r, g, b]: [u8; 3]| u32::from(r) + u32::from(g) + u32::from(b);
    assert!(light(pixel(0, 0)) > light(pixel(1, 0)) && light(pixel(1, 0)) > light(pixel(2, 0)));
    // The scale: its ends, to the right of the image.
    let bar = 24 + 900 + 24 + 10;
    assert_eq!((picture.at(bar, 84), picture.at(bar, 84 + 599)), (MOST, LEAST));
    assert_eq!(picture.at(2, 2), [255; 3]);
    // Title, numbers and legend are written.
    let dark = |from: [usize; 2], to: [usize; 2]| {
        let mut all = (from[0]..to[0]).flat_map(|x| (from[1]..to[1]).map(move |y| [x, y]));
        all.any(|[x, y]| light(picture.at(x, y)) < 300)
    };
    for (from, to) in [([24, 16], [500, 45]), ([980, 84], [1040, 684]), ([48, 700], [300, 730])] {
        assert!(dark(from, to), "nothing is written at {from:?}");
    }
    let line = folder.cpu(&format!("{WORDS} --heatmap h.png")).good();
    let line = line.line("heatmap");
    assert!(line.starts_with("image 0, 3 x 2 pixels, mean 0.0001234, most 0.0001234"), "{line}");
    // Losses that are all the same have a colour too.
    assert_eq!(Picture::load(&folder, "h.png").pixel(1, 1, 300), MOST);
}

/// Views change no result, and are the same for every reduction and output.
#[test]
fn every_reduction_shows_the_same() {
    let folder = images();
    folder.save("w.npy", &[2], &[0.5f32, 2.0]);
    folder.save("up.npy", &[], &[3.0f32]);
    let mut seen: Vec<(Vec<u8>, Value)> = Vec::new();
    for reduction in ["none", "mean", "sum", "batchmean"] {
        for grad in
            ["", "--save-grad g.npy --save-log-probs lp.npy", "--save-grad g.npy --upstream up.npy"]
        {
            if reduction == "none" && grad.contains("up.npy") {
                continue;
            }
            let words =
                format!("{WORDS} --weight w.npy --reduction {reduction} --save-loss l.npy {grad}");
            let plain = folder.json(&words);
            let saved = |file: &str| folder.path(file).exists().then(|| folder.load(file));
            let before = ["l.npy", "g.npy", "lp.npy"].map(saved);
            let json = folder.json(&format!("{words} --heatmap h.png --sample 1 --histogram"));
            let after = ["l.npy", "g.npy", "lp.npy"].map(saved);
            for key in ["loss", "loss_shape", "rows", "ignored", "weight", "nonfinite"] {
                assert_eq!(plain[key], json[key], "{words}");
            }
            for (before, after) in before.iter().flatten().zip(after.iter().flatten()) {
                assert_eq!(before.0, after.0);
                for (a, b) in before.1.iter().zip(&after.1) {
                    // A gradient's factor is rounded to f32 before it is multiplied.
                    let near = b.is_finite() && (a - b).abs() <= 2e-7 * b.abs();
                    let same = near || a == b || (a.is_nan() && b.is_nan());
                    assert!(same, "{a} {b}: {words}");
                }
            }
            seen.push((std::fs::read(folder.path("h.png")).unwrap(), json["histogram"].clone()));
        }
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn every_file_shows_the_same() {
    let folder = images();
    let draw = |input: &str| {
        folder
            .cpu(&format!(
                "cross-entropy {input} t.npy --ignore-index 255 --heatmap h.png --sample 1"
            ))
            .good();
        // The title has the file's name.
        let picture = Picture::load(&folder, "h.png");
        picture.dots[3 * 60 * picture.width..].to_vec()
    };
    let plain = draw("x.npy");
    let (_, shape, body) = folder.load_bytes("x.npy");
    let floats: Vec<f32> =
        body.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    let wide: Vec<f64> = floats.iter().map(|&x| x.into()).collect();
    folder.save("wide.npy", &shape, &wide);
    folder.save_npz("x.npz", &[("x", npy("'<f8'", false, &tuple(&shape), &bytes(&wide)))], true);
    for input in ["wide.npy", "x.npz"] {
        assert!(draw(input) == plain, "{input}");
    }
    // Classes first, last or between: the rows are the same.
    let at = |n: usize, c: usize, p: usize| floats[(n * 2 + c) * 6 + p];
    let order = |count: [usize; 3], at: &dyn Fn(usize, usize, usize) -> f32| {
        let [a, b, c] = count;
        let all = (0..a).flat_map(|i| (0..b).flat_map(move |j| (0..c).map(move |k| (i, j, k))));
        all.map(|(i, j, k)| at(i, j, k)).collect::<Vec<f32>>()
    };
    folder.save("last.npy", &[2, 2, 3, 2], &order([2, 6, 2], &|n, p, c| at(n, c, p)));
    folder.save("first.npy", &[2, 2, 2, 3], &order([2, 2, 6], &|c, n, p| at(n, c, p)));
    assert!(draw("last.npy --class-axis -1") == plain);
    assert!(draw("first.npy --class-axis 0") == plain);
}

#[test]
fn large_images_are_made_smaller() {
    let folder = Folder::new();
    folder.save("x.npy", &[1, 2, 7, 5000], &vec![0.0f32; 70_000]);
    let mut labels = vec![1u8; 35_000];
    // One dot of nothing but ignored pixels, and one with a single one.
    (0..3).for_each(|y| labels[y * 5000..y * 5000 + 3].fill(9));
    labels[5] = 9;
    folder.save("t.npy", &[1, 7, 5000], &labels);
    let json = folder.json("cross-entropy x.npy t.npy --ignore-index 9 --heatmap h.png");
    assert_eq!(json["heatmap"]["pixels_per_dot"], 3);
    assert_eq!(json["heatmap"]["ignored"], 10);
    let picture = Picture::load(&folder, "h.png");
    assert_eq!(picture.width, 24 + 1667 + 24 + 22 + 110);
    assert_eq!(picture.pixel(0, 0, 1), IGNORED);
    for (x, y) in [(1, 0), (1666, 2), (0, 2)] {
        assert_eq!(picture.pixel(x, y, 1), MOST);
    }
    // Three dots high, and nothing below.
    assert_eq!(picture.at(24, 84 + 3), [255; 3]);
}

/// A few large losses leave the others their colours.
#[test]
fn colours_end_before_the_outliers() {
    let folder = Folder::new();
    let mut logits = vec![0.0f32; 2 * 400];
    (0..400).for_each(|i| logits[i] = i as f32 / 400.0);
    logits[399] = -50.0;
    folder.save("x.npy", &[1, 2, 20, 20], &logits);
    folder.save("t.npy", &[1, 20, 20], &[0u8; 400]);
    let json = folder.json("cross-entropy x.npy t.npy --heatmap h.png");
    let (to, most) = (&json["heatmap"]["to"], &json["heatmap"]["most"]);
    assert!(to.as_f64().unwrap() < 0.7 && most.as_f64().unwrap() > 49.0, "{json}");
}

#[test]
fn a_histogram_counts_every_row() {
    let folder = images();
    let json = folder.json(&format!("{WORDS} --histogram"));
    let histogram = &json["histogram"];
    for (key, count) in [("rows", 10), ("ignored", 1), ("nan", 1), ("infinite", 0)] {
        assert_eq!(histogram[key], count, "{histogram}");
    }
    assert_eq!(histogram["scale"], "log");
    let bars = histogram["bars"].as_array().unwrap();
    assert_eq!(bars.iter().map(|bar| bar["rows"].as_u64().unwrap()).sum::<u64>(), 10);
    assert!(bars.windows(2).all(|pair| pair[0]["to"] == pair[1]["from"]));
    let worst = histogram["worst"].as_array().unwrap();
    assert_eq!(worst.len(), 10);
    assert_eq!(worst[0]["position"], serde_json::json!([1, 0, 0]));
    assert_eq!(worst[0]["label"], 0);
    assert!((worst[0]["loss"].as_f64().unwrap() - 3f64.exp().ln_1p()).abs() < 1e-6);
    // Equal losses in the order of their rows.
    assert_eq!(worst[4]["position"], serde_json::json!([0, 0, 0]));
    assert_eq!(worst[5]["position"], serde_json::json!([0, 0, 1]));
    let median = histogram["quantiles"][3].clone();
    assert_eq!(median["share"], 0.5);
    let wanted = (-9f64).exp().ln_1p();
    assert!((median["loss"].as_f64().unwrap() / wanted - 1.0).abs() < 5e-4, "{median}");

    let run = folder.cpu(&format!("{WORDS} --histogram")).good();
    assert_eq!(run.line("losses"), "10 rows with a finite loss, 1 ignored, 1 NaN");
    assert!(
        run.line("worst").starts_with("3.04858")
            && run.line("worst").ends_with("at [1, 0, 0], label 0")
    );
    for said in ["least 0.0001234", "most 3.0486", "median 0.000123", "█", "at [0, 1, 2]"] {
        assert!(run.stdout.contains(said), "no {said:?} in {}", run.stdout);
    }
}

#[test]
fn a_histogram_of_anything() {
    let folder = Folder::new();
    // Losses about the logarithm of the number of classes, as before a training: narrow bars.
    let logits: Vec<f32> = (0..1000 * 100).map(|i| ((i * 7919) % 1013) as f32 / 1e4).collect();
    folder.save("x.npy", &[1000, 100], &logits);
    folder.save("t.npy", &[1000], &(0..1000).map(|i| (i % 100) as i64).collect::<Vec<_>>());
    let histogram = folder.json("cross-entropy x.npy t.npy --histogram")["histogram"].clone();
    assert_eq!(histogram["scale"], "linear");
    let bars = histogram["bars"].as_array().unwrap();
    assert!(
        bars.len() >= 6 && bars.iter().filter(|bar| bar["rows"] != 0).count() >= 6,
        "{histogram}"
    );
    assert!((bars[0]["from"].as_f64().unwrap() - 4.6).abs() < 0.1, "{histogram}");
    // Class probabilities have no labels to tell.
    folder.cpu("softmax x.npy --save-output q.npy").good();
    let histogram = folder.json("cross-entropy x.npy q.npy --histogram")["histogram"].clone();
    assert_eq!((&histogram["rows"], &histogram["worst"][0]["label"]), (&1000.into(), &Value::Null));
    // Negative losses, infinite ones, all the same, and none.
    folder.save("lp.npy", &[3, 2], &[1.5f32, 0.0, -2.0, 0.0, f32::NEG_INFINITY, 0.0]);
    folder.save("t3.npy", &[3], &[0u8; 3]);
    let histogram =
        folder.json("nll lp.npy t3.npy --reduction sum --histogram")["histogram"].clone();
    assert_eq!((&histogram["least"], &histogram["infinite"]), (&(-1.5).into(), &1.into()));
    assert_eq!(histogram["worst"][0]["loss"], "inf");
    folder.save("one.npy", &[3], &[0.0f32; 3]);
    folder.save("label.npy", &[], &[1u8]);
    let histogram = folder.json("cross-entropy one.npy label.npy --histogram")["histogram"].clone();
    assert_eq!(histogram["bars"].as_array().unwrap().len(), 1);
    assert_eq!(histogram["worst"][0]["position"], serde_json::json!([]));
    folder.save::<f32>("none.npy", &[0, 3], &[]);
    folder.save::<u8>("labels.npy", &[0], &[]);
    let run = folder.cpu("cross-entropy none.npy labels.npy --histogram").good();
    assert_eq!(run.line("losses"), "0 rows with a finite loss");
    let json = folder.json("cross-entropy none.npy labels.npy --histogram");
    assert_eq!((&json["loss"], &json["histogram"]["mean"]), (&"NaN".into(), &"NaN".into()));
}

#[test]
fn what_cannot_be_seen() {
    let folder = images();
    folder.save("rows.npy", &[4, 4], &[0.5f32; 16]);
    folder.save("labels.npy", &[4], &[0u8; 4]);
    let bad = |words: &str, code: i32, said: &[&str]| {
        folder.cpu(words).bad(code, said);
        assert!(!folder.names().iter().any(|name| name.ends_with(".png")));
    };
    bad(
        "cross-entropy rows.npy labels.npy --heatmap h.png",
        1,
        &["rows.npy", "(N, C, H, W)", "[4]"],
    );
    bad(
        &format!("{WORDS} --heatmap h.png --sample 2"),
        2,
        &["--sample is 2", "x.npy", "images 0 to 1"],
    );
    bad(&format!("{WORDS} --heatmap h.png --sample -1"), 2, &["-1"]);
    bad(&format!("{WORDS} --sample 1"), 2, &["--heatmap"]);
    bad(&format!("{WORDS} --heatmap h.npy"), 2, &["h.npy", ".png"]);
    bad(&format!("{WORDS} --heatmap h"), 2, &[".png"]);
    bad(&format!("{WORDS} --heatmap no/h.png"), 1, &["no/h.png", "no such folder"]);
    bad("softmax rows.npy --histogram", 2, &["--histogram"]);
    folder.save::<f32>("empty.npy", &[1, 2, 0, 3], &[]);
    folder.save::<u8>("none.npy", &[1, 0, 3], &[]);
    bad("cross-entropy empty.npy none.npy --heatmap h.png", 1, &["empty.npy", "[1, 0, 3]"]);
    // Nothing is drawn of labels that are wrong.
    bad("cross-entropy x.npy t.npy --heatmap h.png --histogram", 1, &["t.npy", "255 at [1, 1, 2]"]);
}
