//! A picture of an image's losses: a colour for every pixel, and a scale of the colours.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use serde::Serialize;
use wgpu_loss::Problem;

use super::rows::{Rows, steps};
use super::scale;
use crate::error::Failure;
use crate::picture::{self, FAINT, FONT, INK, said};
use crate::report::{Wide, digits};

/// Longest side of a picture: larger images are reduced by a whole factor to this or less.
const LONGEST: usize = 2048;
/// Images that are shorter are enlarged by a whole factor, to this or less.
const SHORT: usize = 900;
/// Space around and between the parts.
const MARGIN: usize = 24;
/// The height of title and subtitle.
const HEAD: usize = 84;
/// The height of the line at the bottom.
const FOOT: usize = 52;
/// The width of the scale; that of its numbers is next.
const BAR: usize = 22;
const NUMBERS: usize = 110;
/// The least height of the scale, and the least width of the whole: titles and numbers need the room.
const LOW: usize = 200;
const NARROW: usize = 640;
/// The number of letters of the longest title.
const LETTERS: usize = 64;
/// The scale is clipped at the loss that this share of the pixels does not exceed,
const SHARE: f64 = 0.99;
/// if the largest loss is this many times as large: a few pixels would leave the others one colour.
const FAR: f64 = 1.5;

/// The colour of pixels that do not count.
const IGNORED: RGBColor = RGBColor(150, 150, 150);
/// The colour of pixels whose loss is not a finite number. The scale has no such colour.
const BROKEN: RGBColor = RGBColor(0, 229, 255);

/// An image's losses, and the meaning of their colours.
#[derive(Debug, Serialize)]
pub struct Heatmap {
    sample: usize,
    height: usize,
    width: usize,
    /// The width and height of a dot, in pixels; its loss is the mean of theirs.
    pixels_per_dot: usize,
    ignored: u64,
    nonfinite: u64,
    mean: Wide,
    most: Wide,
    /// The losses at the two ends of the scale.
    from: f64,
    to: f64,
    #[serde(skip)]
    dots: Vec<Dot>,
}

/// Pixels that are drawn as one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Dot {
    sum: f64,
    count: u32,
    broken: bool,
}

impl Dot {
    /// Returns their mean loss, if they have one.
    fn loss(self) -> Option<f64> {
        (!self.broken && self.count > 0).then(|| self.sum / f64::from(self.count))
    }
}

/// Returns an image's height and width, if the losses are images; the losses of single elements may have several
/// channels, whose mean is the pixel's loss.
pub fn size(problem: &Problem, sample: usize, input: &str) -> Result<[usize; 2], Failure> {
    let shape = &problem.row_shape[..];
    let channels = problem.pointwise.is_some() && shape.len() == 4;
    let size = match *shape {
        [images, height, width] => Some([images, height, width]),
        [images, _, height, width] if channels => Some([images, height, width]),
        _ => None,
    };
    let Some([images, height, width]) = size.filter(|_| shape[1..].iter().all(|&n| n > 0)) else {
        return Err(Failure::of(
            input,
            format_args!(
                "--heatmap wants an image of losses for each sample, as an input of shape \
                 (N, C, H, W) gives, but the losses have shape {shape:?}"
            ),
        ));
    };
    if sample >= images {
        let there = match images {
            0 => "no images".into(),
            1 => "one image, 0".into(),
            n => format!("images 0 to {}", n - 1),
        };
        return Err(Failure::Usage(format!("--sample is {sample}, but {input} has {there}")));
    }
    Ok([height, width])
}

impl Heatmap {
    /// Makes the heatmap of one of the images whose pixels are the rows.
    pub fn of(
        rows: &Rows<'_>,
        sample: usize,
        [height, width]: [usize; 2],
    ) -> Result<Self, Failure> {
        let pixels_per_dot = height.max(width).div_ceil(LONGEST);
        let mut map = Self {
            sample,
            height,
            width,
            pixels_per_dot,
            ignored: 0,
            nonfinite: 0,
            mean: Wide(0.0),
            most: Wide(f64::NAN),
            from: 0.0,
            to: 0.0,
            dots: vec![
                Dot::default();
                height.div_ceil(pixels_per_dot) * width.div_ceil(pixels_per_dot)
            ],
        };
        let pixels = height * width;
        // A sample's channels follow one another.
        let count = rows.problem.row_shape[1..].iter().product::<usize>();
        let (first, end) = (sample * count, (sample + 1) * count);
        for range in steps(first..end) {
            let run = rows.run(range.clone())?;
            for (row, loss) in range.clone().zip(run.losses()) {
                map.add((row - first) % pixels, loss);
            }
            rows.seen(range);
        }
        map.mean.0 /= (count as u64 - map.ignored - map.nonfinite) as f64;
        (map.from, map.to) = map.ends();
        Ok(map)
    }

    fn add(&mut self, pixel: usize, loss: Option<f32>) {
        let per_dot = self.pixels_per_dot;
        let (y, x) = (pixel / self.width / per_dot, pixel % self.width / per_dot);
        let columns = self.columns();
        let dot = &mut self.dots[y * columns + x];
        match loss {
            None => self.ignored += 1,
            Some(loss) if !loss.is_finite() => {
                self.nonfinite += 1;
                dot.broken = true;
            }
            Some(loss) => {
                dot.sum += f64::from(loss);
                dot.count += 1;
                self.mean.0 += f64::from(loss);
                self.most.0 = self.most.0.max(loss.into());
            }
        }
    }

    fn columns(&self) -> usize {
        self.width.div_ceil(self.pixels_per_dot)
    }

    /// Returns the losses at the two ends of the scale.
    fn ends(&self) -> (f64, f64) {
        let mut losses: Vec<f64> = self.dots.iter().filter_map(|dot| dot.loss()).collect();
        losses.sort_by(f64::total_cmp);
        let [Some(&least), Some(&most)] = [losses.first(), losses.last()] else {
            return (0.0, 1.0);
        };
        let from = least.min(0.0);
        let nearly_all = losses[((losses.len() - 1) as f64 * SHARE).ceil() as usize];
        let to = if most - from > FAR * (nearly_all - from) && nearly_all > from {
            nearly_all
        } else {
            most
        };
        if to > from { (from, to) } else { (from, from + 1.0) }
    }

    /// Returns the position of a loss on the scale, from 0 to 1.
    fn height_of(&self, loss: f64) -> f64 {
        ((loss - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }

    fn color(&self, dot: Dot) -> RGBColor {
        match dot.loss() {
            Some(loss) => color(self.height_of(loss)),
            None if dot.broken => BROKEN,
            None => IGNORED,
        }
    }

    /// Describes the picture in words.
    pub fn text(&self) -> String {
        let Self { sample, height, width, from, to, .. } = self;
        let [from, to] = [*from, *to].map(|end| digits(end, 4));
        format!(
            "image {sample}, {width} x {height} pixels, {}, colours from {from} to {to}",
            self.seen()
        )
    }

    fn seen(&self) -> String {
        let mut text = format!("mean {}, most {}", digits(self.mean.0, 4), digits(self.most.0, 4));
        for (count, what) in [(self.ignored, "ignored"), (self.nonfinite, "NaN or infinite")] {
            if count > 0 {
                text += &format!(", {count} {what}");
            }
        }
        text
    }

    /// Draws the picture, as the bytes of a PNG file.
    pub fn draw(&self, title: &str) -> Result<Vec<u8>, String> {
        picture::register()?;
        let columns = self.columns();
        let rows = self.dots.len() / columns;
        let factor = (SHORT / rows.max(columns)).max(1);
        let (width, height) = (columns * factor, rows * factor);
        let tall = height.max(LOW);
        let bar = 2 * MARGIN + width;
        let whole = (bar + BAR + NUMBERS).max(NARROW);
        let (whole, total) = (whole as u32, (HEAD + tall + FOOT) as u32);
        let mut canvas =
            Canvas { dots: vec![255; 3 * whole as usize * total as usize], width: whole as usize };
        let backend = BitMapBackend::with_buffer(&mut canvas.dots, (whole, total));
        self.write(backend, title, (bar + BAR, tall)).map_err(said)?;

        for (i, &dot) in self.dots.iter().enumerate() {
            let at = [MARGIN + i % columns * factor, HEAD + i / columns * factor];
            canvas.fill(at, [factor, factor], self.color(dot));
        }
        for y in 0..tall {
            let up = (tall - 1 - y) as f64 / (tall - 1) as f64;
            canvas.fill([bar, HEAD + y], [BAR, 1], color(up));
        }
        let mut at = [MARGIN, HEAD + tall + 18];
        for (color, _, letters) in self.legend() {
            canvas.fill(at, [16, 16], color);
            at[0] += 40 + 10 * letters;
        }
        picture::png(&canvas.dots, whole, total)
    }

    /// Returns the colours that are not on the scale, and their meaning.
    fn legend(&self) -> Vec<(RGBColor, &'static str, usize)> {
        let entries =
            [(IGNORED, "ignored", self.ignored), (BROKEN, "NaN or infinite", self.nonfinite)];
        let there = entries.into_iter().filter(|&(_, _, count)| count > 0);
        there.map(|(color, text, _)| (color, text, text.len())).collect()
    }

    /// Writes all texts: around an image, and along a scale that ends at `right` and is so tall.
    fn write<DB: DrawingBackend>(
        &self,
        backend: DB,
        title: &str,
        (right, tall): (usize, usize),
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        let area = backend.into_drawing_area();
        let text = |size: u32, color: &RGBColor| (FONT, size).into_font().color(color);
        let at = |x: usize, y: usize| (x as i32, y as i32);
        area.draw_text(&shown(title), &text(22, &INK), at(MARGIN, 18))?;
        let mut seen = format!("image {}: {}", self.sample, self.seen());
        if self.pixels_per_dot > 1 {
            seen += &format!("; a dot is the mean of {0} x {0} pixels", self.pixels_per_dot);
        }
        area.draw_text(&seen, &text(15, &FAINT), at(MARGIN, 50))?;
        let side_text = text(15, &INK).pos(Pos::new(HPos::Left, VPos::Center));
        let tick = |loss: f64, name: &str| {
            let y = HEAD + ((1.0 - self.height_of(loss)) * (tall - 1) as f64).round() as usize;
            area.draw(&PathElement::new([at(right, y), at(right + 5, y)], FAINT.stroke_width(1)))?;
            area.draw_text(name, &side_text, at(right + 10, y))
        };
        let clipped = self.most.0 > self.to;
        // A number that would overlap the last one is left out.
        let room = 0.06 * (self.to - self.from) * if clipped { 1.0 } else { 0.0 };
        for loss in scale::linear(self.from, self.to, 7) {
            if loss >= self.from && loss <= self.to - room {
                tick(loss, &digits(loss, 3))?;
            }
        }
        if clipped {
            tick(self.to, &format!(">= {}", digits(self.to, 3)))?;
        }
        let mut x = MARGIN;
        for (_, name, letters) in self.legend() {
            area.draw_text(name, &text(15, &INK), at(x + 24, HEAD + tall + 21))?;
            x += 40 + 10 * letters;
        }
        area.present()
    }
}

/// Returns the colour at a position on the scale.
fn color(up: f64) -> RGBColor {
    let color = colorous::INFERNO.eval_continuous(up);
    RGBColor(color.r, color.g, color.b)
}

/// Returns a title in the characters that our font has.
fn shown(title: &str) -> String {
    let known = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    let letters = title.chars().count();
    match letters > LETTERS {
        false => title.chars().map(known).collect(),
        true => "...".chars().chain(title.chars().skip(letters - LETTERS).map(known)).collect(),
    }
}

/// RGB dots.
struct Canvas {
    dots: Vec<u8>,
    width: usize,
}

impl Canvas {
    fn fill(
        &mut self,
        [x, y]: [usize; 2],
        [width, height]: [usize; 2],
        RGBColor(r, g, b): RGBColor,
    ) {
        for y in y..y + height {
            let start = 3 * (y * self.width + x);
            let line = &mut self.dots[start..start + 3 * width];
            line.chunks_exact_mut(3).for_each(|dot| dot.copy_from_slice(&[r, g, b]));
        }
    }
}
