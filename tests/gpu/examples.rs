//! The examples, run as a user would run them, and the files that they write.

use std::collections::HashSet;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::Output;

use support::npy;
use support::places::{self, run_example};
use wgpu_loss::{CrossEntropy, Inputs, Outputs, Reduction, Tensor, reference};

/// Returns the output of a run that must succeed.
#[track_caller]
fn printed(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Returns the first number after a line's first word.
#[track_caller]
fn number(text: &str, word: &str) -> f64 {
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(word));
    let line = line.unwrap_or_else(|| panic!("no line {word} in\n{text}"));
    let number = line.split_whitespace().nth(1).unwrap().trim_end_matches(',');
    number.parse().unwrap_or_else(|_| panic!("no number in {line}"))
}

/// A PNG of RGB.
struct Picture {
    width: usize,
    height: usize,
    dots: Vec<[u8; 3]>,
}

impl Picture {
    fn read(path: &Path) -> Self {
        let mut reader = png::Decoder::new(BufReader::new(File::open(path).unwrap()));
        reader.set_transformations(png::Transformations::IDENTITY);
        let mut reader = reader.read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bytes).unwrap();
        assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
        let dots = bytes.chunks_exact(3).map(|dot| dot.try_into().unwrap()).collect();
        Self { width: info.width as usize, height: info.height as usize, dots }
    }

    fn colors(&self) -> usize {
        self.dots.iter().collect::<HashSet<_>>().len()
    }
}

#[test]
fn the_smallest_host() {
    let text = printed(&run_example("embed_minimal", &[]));
    // The rows that count are two of the book's, to eight decimals.
    let wanted = (0.13484927 + 0.00523357) / 2.0;
    // WGSL's exp of such differences may be off by a dozen units in the last place.
    assert!((number(&text, "loss") / wanted - 1.0).abs() < 3e-6, "{text}");
    assert!(text.contains("over 2 of 3 rows"), "{text}");
    assert!(text.contains("[0.0, 0.0, 0.0, 0.0]"), "the ignored row has a gradient:\n{text}");
}

#[test]
fn digits_are_learnt() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("made/for/it/curve.png");
    let curve = file.to_str().unwrap();
    let text = printed(&run_example("train_digits", &["--steps", "60", "--curve", curve]));
    assert!((97.0..=100.0).contains(&number(&text, "accuracy")), "{text}");
    // Progress is printed, in lines if there is no terminal.
    assert!(text.matches("\nstep ").count() >= 3, "{text}");
    let picture = Picture::read(&file);
    assert_eq!((picture.width, picture.height), (960, 400));
    for (name, curve) in [("loss", [37, 99, 235]), ("accuracy", [217, 119, 6])] {
        let dots = picture.dots.iter().filter(|&&dot| dot == curve).count();
        assert!(dots > 300, "{dots} dots of the curve of the {name}");
    }
}

#[test]
fn what_is_not_learnt_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("curve.png");
    let output = run_example("train_digits", &["--steps", "2", "--curve", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(number(&text, "accuracy") < 97.0, "{text}");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("less than the 97 %"), "{error}");
}

#[test]
fn losses_shine_over_the_photograph() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("heat.png");
    printed(&run_example("segmentation", &["--heatmap", file.to_str().unwrap()]));
    let data = places::root().join("examples/data");
    let photo = Picture::read(&data.join("photo.png"));
    let heat = Picture::read(&file);
    assert_eq!((heat.width, heat.height), (4 * photo.width, 4 * photo.height));
    assert!(heat.colors() > 1000, "{} colours", heat.colors());

    let logits = npy::read(&data.join("photo_logits.npy"), "<f4").unwrap();
    let labels = npy::read(&data.join("photo_labels.npy"), "|u1").unwrap();
    let input: Vec<f32> = bytemuck::pod_collect_to_vec(&logits.bytes);
    let inputs = Inputs::new(Tensor::new(&input, &logits.shape));
    let inputs = inputs.labels(&labels.bytes[..], &labels.shape);
    let loss = CrossEntropy::new().ignore_index(255).reduction(Reduction::None);
    let truth = reference::run(&loss, &inputs, Outputs::loss()).unwrap().loss;

    let [mut hot, mut cold] = [0; 2];
    for (pixel, (&loss, under)) in truth.iter().zip(&photo.dots).enumerate() {
        let (y, x) = (pixel / photo.width, pixel % photo.width);
        for dot in 0..16 {
            let [r, g, b] = heat.dots[(4 * y + dot / 4) * heat.width + 4 * x + dot % 4];
            if loss > 2.0 {
                // Orange to yellow. Greys and violets have as much blue as red.
                assert!(r > 240 && g > 120 && r > b + 60, "{loss} at {y}, {x}: {r} {g} {b}");
                hot += 1;
            } else if loss < 1e-3 {
                let [red, green, blue] = under.map(f64::from);
                let grey = 0.5 * (0.21 * red + 0.72 * green + 0.07 * blue);
                let off = [r, g, b].map(|color| (f64::from(color) - grey).abs());
                assert!(off.iter().all(|&off| off < 1.0), "{loss} at {y}, {x}: {r} {g} {b}");
                cold += 1;
            }
        }
    }
    assert!(hot > 16 * 300 && cold > 16 * 3000, "{hot} hot dots, {cold} cold ones");
}
