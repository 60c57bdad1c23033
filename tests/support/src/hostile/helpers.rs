//! Functions that a compiler calls after a load or an operation: in front of the kernel's text, one for each width.

use naga::{Function, Handle, Module, VectorSize};

use super::{Compiler, Errors};

/// The helpers' handles, by the number of components less one.
pub struct Helpers {
    result: [Handle<Function>; 4],
    exp: [Handle<Function>; 4],
    log: [Handle<Function>; 4],
    quotient: [Handle<Function>; 4],
    half: Handle<Function>,
}

/// The kind of an operation, which determines the change of its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum After {
    /// Any arithmetic, and loads.
    Result,
    Exp,
    Log,
    Quotient,
    /// Two f16 that were widened.
    Half,
}

impl Helpers {
    /// Returns the function that changes a value as the compiler may; `exp` and `log` take their argument too.
    pub fn after(&self, after: After, size: Option<VectorSize>) -> Handle<Function> {
        let place = size.map_or(1, |size| size as usize) - 1;
        match after {
            After::Result => self.result[place],
            After::Exp => self.exp[place],
            After::Log => self.log[place],
            After::Quotient => self.quotient[place],
            After::Half => self.half,
        }
    }

    pub fn contains(&self, handle: Handle<Function>) -> bool {
        let widths = [self.result, self.exp, self.log, self.quotient];
        handle == self.half || widths.iter().any(|handles| handles.contains(&handle))
    }
}

const WIDTHS: [(&str, &str, &str); 4] = [
    ("1", "f32", "u32"),
    ("2", "vec2<f32>", "vec2<u32>"),
    ("3", "vec3<f32>", "vec3<u32>"),
    ("4", "vec4<f32>", "vec4<u32>"),
];

/// Finds the helpers in a module that begins with [`text`].
pub fn handles(module: &Module) -> Helpers {
    let named = |name: String| {
        let mut functions = module.functions.iter();
        let found = functions.find(|(_, function)| function.name.as_deref() == Some(&name));
        found.map(|(handle, _)| handle).expect("a helper")
    };
    let each = |name: &str| WIDTHS.map(|(width, ..)| named(format!("hostile_{name}_{width}")));
    Helpers {
        result: each("result"),
        exp: each("exp"),
        log: each("log"),
        quotient: each("quotient"),
        half: named("hostile_half".to_owned()),
    }
}

/// The helpers' texts.
pub fn text(compiler: &Compiler) -> String {
    let mut text = String::new();
    for (width, reals, words) in WIDTHS {
        let flush = if compiler.flushes {
            "bits = select(bits, bits & W(0x80000000u), (bits & W(0x7f800000u)) == W(0u));"
        } else {
            ""
        };
        // Some number, and not the same one everywhere.
        let finite = if compiler.assumes_finite {
            "bits = select(bits, W(0x3f000000u) | (bits & W(0x80000000u)), (bits & W(0x7f800000u)) == W(0x7f800000u));"
        } else {
            ""
        };
        // Whole units in the last place, added to the bits of finite numbers that are not denormal.
        let signed = match compiler.errors {
            Errors::Up => "units",
            Errors::Down => "W(0u) - units",
            Errors::Mixed => "select(units, W(0u) - units, (seed & W(1u)) == W(0u))",
        };
        let template = format!(
            "
fn hostile_result_N(x: R) -> R {{
    var bits = bitcast<W>(x);
    {flush}
    {finite}
    return bitcast<R>(bits);
}}
fn hostile_off_N(x: R, units: W, seed: W) -> R {{
    let bits = bitcast<W>(x);
    let exponent = bits & W(0x7f800000u);
    // The least normal numbers are left alone: there is none below them by so many units.
    let plain = (exponent > W(0x10000000u)) & (exponent < W(0x7f000000u));
    return hostile_result_N(bitcast<R>(select(bits, bits + ({signed}), plain)));
}}
// 3 + 2 |x| units, less one that the driver may need for itself.
fn hostile_exp_N(y: R, x: R) -> R {{
    let units = W(2.0 + 2.0 * min(abs(x), R(120.0)));
    return hostile_off_N(y, units, bitcast<W>(x));
}}
// 2^-21 around 1, 3 units elsewhere.
fn hostile_log_N(y: R, x: R) -> R {{
    let off = hostile_off_N(y, W(2u), bitcast<W>(x));
    let up = hostile_off_N(R(1.0), W(1u), bitcast<W>(x)) > R(1.0);
    let near = y + select(R(-0x1.8p-22), R(0x1.8p-22), up);
    return select(off, near, (x >= R(0.5)) & (x <= R(2.0)));
}}
// 2.5 units.
fn hostile_quotient_N(y: R) -> R {{ return hostile_off_N(y, W(2u), bitcast<W>(y) >> W(3u)); }}
"
        );
        text += &template.replace('N', width).replace("R(", &format!("{reals}("));
        text = text.replace(": R", &format!(": {reals}")).replace("-> R", &format!("-> {reals}"));
        text = text.replace("<R>", &format!("<{reals}>")).replace("<W>", &format!("<{words}>"));
        text = text.replace("W(", &format!("{words}(")).replace(": W", &format!(": {words}"));
    }
    let flush = if compiler.flushes {
        "select(x, vec2<f32>(0.0), abs(x) < vec2<f32>(0x1p-14))"
    } else {
        "x"
    };
    text + &format!("fn hostile_half(x: vec2<f32>) -> vec2<f32> {{ return {flush}; }}\n")
}
