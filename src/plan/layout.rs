//! Which kernel folds the logits, and how: from the shape, the adapter's numbers and the alignment of
//! the tensors.

use super::{Geometry, Profile};
use crate::Error;
use crate::kernels::{Form, Kernel, Load, Spec, is_half};
use crate::loss::Problem;
use crate::tensor::{ClassView, ElementType};

/// Classes at most that a lane folds alone where neighbouring rows are neighbours in memory.
const LANE_CLASSES: usize = 1 << 14;
/// Classes from which lanes share rows that are neighbours, where there are too few of these.
const SHARED_CLASSES: usize = 64;
/// Classes from which rows of f32 are read in loads of four though they do not start on one. Below,
/// the first and the last load are too large a part of a row.
const RAGGED_CLASSES: usize = 64;
/// The same for loads of eight of f16 and bf16, of which single ones cost more: two share a word.
const RAGGED_HALVES: usize = 16;
/// Loads of a lane at most that are written out in the text: compilers take longer than in proportion.
const UNROLLED: usize = 32;
/// Bytes for states that are worth a better use of the device, however small the tensor.
const STATES_BYTES: u64 = 12 << 10;
/// Loads of a lane at most in one part of a row.
const LANE_LOADS: usize = 1 << 13;
/// Classes up to which a lane has batch-invariant rows that are neighbours to itself, however few they are.
const FIXED_LANE_CLASSES: usize = 1 << 10;
/// Classes at least in a part of a batch-invariant row: a state for each takes 12 bytes for 1,000 logits.
const FIXED_PART_CLASSES: usize = 1 << 11;

/// How the tensors that are read and written in loads lie in their bindings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alignment {
    /// The widest load that they all start on.
    pub load: Load,
    /// All have the same number of elements in front, modulo the loads of ragged rows.
    pub alike: bool,
    /// The labels of four rows come in one load, or two.
    pub labels: bool,
    /// The weights of four classes come in one load.
    pub weights: bool,
    /// The records of four rows go in whole loads.
    pub records: bool,
}

impl Alignment {
    /// Of tensors that start where their buffers do.
    pub const BEST: Self =
        Self { load: Load::Eight, alike: true, labels: true, weights: true, records: true };
    /// Of tensors that start anywhere.
    pub const WORST: Self =
        Self { load: Load::One, alike: false, labels: false, weights: false, records: false };

    /// Every alignment there is.
    pub fn all() -> impl Iterator<Item = Self> {
        [Load::One, Load::Four, Load::Eight].into_iter().flat_map(|load| {
            let flags = [(false, false), (false, true), (true, false), (true, true)];
            // Labels and records in loads are the columns', weights the rows'.
            flags.map(|(alike, packs)| Self {
                load,
                alike,
                labels: packs,
                weights: packs,
                records: packs,
            })
        })
    }
}

/// The layout of the kernel that folds the logits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    kernel: Kernel,
    load: Load,
    form: Form,
    strided: bool,
    ragged: bool,
    by_class: bool,
    loose: bool,
    /// Every second row starts in the middle of a pair of elements.
    odd: bool,
    short: bool,
    longs: bool,
    geometry: Geometry,
}

impl Layout {
    /// For `rows` rows of a piece of logits of a type.
    pub fn of(
        view: ClassView,
        rows: usize,
        input: ElementType,
        profile: &Profile,
        alignment: Alignment,
    ) -> Result<Self, Error> {
        let widest = alignment.load.min(profile.widest_load(input));
        let layout = if view.inner > 1 && shares_columns(view, rows, profile) {
            Self::strided(profile, view.classes, rows)
        } else if view.inner > 1 {
            Self::columns(view, input, profile, widest)
        } else if view.classes <= short_classes(profile) {
            Self::short(view, rows, profile, widest)
        } else {
            Self::rows(view.classes, input, profile, alignment, widest)
        }?;
        Ok(layout.of_rows(view, rows, profile))
    }

    /// For the `rows` rows of a box, which has a part of their classes. They are not kept: their maximum
    /// is known only when all boxes are folded.
    pub fn of_box(
        view: ClassView,
        rows: usize,
        input: ElementType,
        profile: &Profile,
        alignment: Alignment,
    ) -> Result<Self, Error> {
        let widest = alignment.load.min(profile.widest_load(input));
        let layout = match view.inner {
            1 => Self::rows(view.classes, input, profile, alignment, widest),
            _ => Self::strided(profile, view.classes, rows),
        };
        Ok(layout?.of_rows(view, rows, profile).unkept(true))
    }

    /// The same with what every layout has to know of the rows and the device, whatever the kernel.
    fn of_rows(self, view: ClassView, rows: usize, profile: &Profile) -> Self {
        let odd = rows > 1 && view.classes % 2 == 1;
        let longs = self.load == Load::Eight && profile.has_longs() && !self.loose;
        Self { odd, longs, ..self }
    }

    /// For `rows` rows of a problem, where what a row's bits depend on is the same for all rows
    /// ([`Profile::batch_invariant`]): the classes, the types and the device. Neither `rows` nor the alignment
    /// changes which lane folds a class, nor in which order. `parts`: a kernel folds parts of rows.
    pub fn fixed(
        problem: &Problem,
        rows: usize,
        profile: &Profile,
        alignment: Alignment,
        parts: bool,
    ) -> Result<Self, Error> {
        let (view, input) = (problem.view, problem.input_type);
        let widest = alignment.load.min(profile.widest_load(input));
        let layout = match problem.classes_are_last() {
            true if view.classes <= short_classes(profile) && !parts => {
                Self::short(view, rows, profile, widest)
            }
            true => Self::rows(view.classes, input, profile, alignment, widest),
            false if view.classes <= FIXED_LANE_CLASSES && !parts => {
                Self::columns(view, input, profile, widest)
            }
            false => Self::strided(profile, view.classes, rows),
        }?;
        Ok(layout.of_rows(view, rows, profile).unkept(parts))
    }

    /// Lanes share rows whose classes are neighbours.
    fn rows(
        classes: usize,
        input: ElementType,
        profile: &Profile,
        alignment: Alignment,
        widest: Load,
    ) -> Result<Self, Error> {
        // Batch-invariant rows are folded as those of aligned tensors, wherever they are.
        let fixed = profile.batch_invariant;
        let best = Alignment { load: profile.widest_load(input), ..Alignment::BEST };
        let (here, widest) = (alignment, if fixed { best.load } else { widest });
        let alignment = if fixed { best } else { alignment };
        let fits = |load: Load| load <= widest && classes.is_multiple_of(load.elements());
        let aligned = widest_that(fits).unwrap_or(Load::One);
        let least = if input == ElementType::F32 { RAGGED_CLASSES } else { RAGGED_HALVES };
        let ragged = aligned == Load::One
            && profile.widest_load(input) > Load::One
            && alignment.alike
            && classes >= least;
        let load = if ragged { ragged_load(input) } else { aligned };
        // A row may begin with the last element of a load. Such rows are not kept: each of their loads
        // would be a special case in the text.
        let by_class = ragged && fixed;
        let lead = if ragged && !by_class { load.elements() - 1 } else { 0 };
        let loads = (lead + classes).div_ceil(load.elements());
        let keeps = (profile.tuning.kept_row as usize / load.elements()).min(UNROLLED);
        let geometry = Geometry::rows(profile, loads, keeps)?;
        let lanes = geometry.lanes as usize;
        let of_lane = loads.div_ceil(lanes);
        let form = if of_lane <= keeps && !ragged {
            Form::Kept { loads: of_lane as u32, full: (loads / lanes) as u32 }
        } else {
            Form::streamed(of_lane)
        };
        let loose =
            fixed && load > Load::One && if ragged { !here.alike } else { here.load < load };
        let ragged = ragged && !loose;
        let plain = Self::plain(Kernel::Rows, load, form, geometry);
        Ok(Self { ragged, by_class, loose, ..plain })
    }

    /// Lanes share rows that are neighbours.
    fn strided(profile: &Profile, classes: usize, rows: usize) -> Result<Self, Error> {
        let geometry = Geometry::strided(profile, classes, rows)?;
        let form = Form::streamed(classes.div_ceil(geometry.lanes as usize));
        Ok(Self { strided: true, ..Self::plain(Kernel::Rows, Load::One, form, geometry) })
    }

    /// A lane has neighbouring rows to itself.
    fn columns(
        view: ClassView,
        input: ElementType,
        profile: &Profile,
        widest: Load,
    ) -> Result<Self, Error> {
        let fits = |load: Load| load <= widest && view.inner.is_multiple_of(load.elements());
        let keeps = |load: Load| {
            view.classes <= UNROLLED
                && view.classes * load.elements() <= profile.tuning.kept_columns as usize
        };
        // Rather a narrow load and every class kept than a wide one and two passes; but not where
        // loads are what costs, nor single elements of which two share a word.
        let narrowest = match input {
            _ if profile.tuning.load == Load::Eight => widest_that(fits),
            ElementType::F32 => None,
            ElementType::F16 | ElementType::BF16 => widest_that(|l| l <= Load::Four && fits(l)),
        };
        let kept = match profile.batch_invariant {
            false => widest_that(|load| fits(load) && keeps(load) && Some(load) >= narrowest),
            // The same whatever the number of positions and the alignment allow.
            true => {
                let narrowest = match input {
                    _ if profile.tuning.load == Load::Eight => profile.widest_load(input),
                    ElementType::F32 => Load::One,
                    ElementType::F16 | ElementType::BF16 => {
                        Load::Four.min(profile.widest_load(input))
                    }
                };
                widest_that(|load| fits(load) && keeps(load)).filter(|_| keeps(narrowest))
            }
        };
        let load = kept.or(widest_that(fits)).unwrap_or(Load::One);
        Self::lane_per_row(view, profile, load, kept.is_some(), false)
    }

    /// A lane has rows that follow each other to itself.
    fn short(view: ClassView, rows: usize, profile: &Profile, widest: Load) -> Result<Self, Error> {
        let keeps = profile.tuning.kept_short as usize;
        // Rows without a class have nothing to load.
        let fits = |load: Load| {
            load <= widest
                && view.classes > 0
                && rows.is_multiple_of(load.elements())
                && view.classes * load.elements() <= keeps
        };
        let load = widest_that(fits).unwrap_or(Load::One);
        Self::lane_per_row(view, profile, load, true, load > Load::One)
    }

    fn lane_per_row(
        view: ClassView,
        profile: &Profile,
        load: Load,
        kept: bool,
        short: bool,
    ) -> Result<Self, Error> {
        let classes = view.classes as u32;
        let form = match kept && classes > 0 {
            true => Form::Kept { loads: classes, full: classes },
            false => Form::streamed(view.classes),
        };
        let geometry = Geometry::lane_per_row(profile)?;
        Ok(Self { short, ..Self::plain(Kernel::Columns, load, form, geometry) })
    }

    /// A layout with nothing special about it.
    fn plain(kernel: Kernel, load: Load, form: Form, geometry: Geometry) -> Self {
        let (strided, ragged, odd, short, longs) = (false, false, false, false, false);
        let (by_class, loose) = (false, false);
        Self { kernel, load, form, strided, ragged, by_class, loose, odd, short, longs, geometry }
    }

    /// The same without keeping, where `parts` are all that a group has of a row.
    pub fn unkept(self, parts: bool) -> Self {
        match self.form {
            Form::Kept { loads, .. } if parts => {
                Self { form: Form::streamed(loads as usize), ..self }
            }
            _ => self,
        }
    }

    /// The specialisation `spec` in this layout.
    pub fn apply(&self, spec: Spec) -> Spec {
        Spec {
            kernel: self.kernel,
            load: self.load,
            form: self.form,
            strided: self.strided,
            ragged: self.ragged,
            by_class: self.by_class,
            loose: self.loose,
            pairs: self.ragged && self.odd && spec.writes() && is_half(spec.output),
            short: self.short,
            longs: self.longs,
            geometry: self.geometry,
            ..spec
        }
    }

    /// Whether lanes share rows.
    pub fn shares_rows(&self) -> bool {
        self.kernel == Kernel::Rows
    }

    /// Classes in each part of a batch-invariant row of `classes`; `None` where it is not cut into parts.
    pub fn fixed_part(&self, classes: usize, profile: &Profile) -> Option<usize> {
        if self.kernel != Kernel::Rows || self.form.is_kept() {
            return None;
        }
        let of_lanes = self.load.elements() * self.geometry.lanes as usize;
        let loads = FIXED_PART_CLASSES.div_ceil(of_lanes).max(profile.tuning.part_loads as usize);
        let part = of_lanes * loads.min(LANE_LOADS);
        (classes >= 2 * part).then_some(part)
    }

    /// How many parts a row is cut into, so that `rows` rows keep the device busy and no lane folds
    /// for too long. A part's state has so many words.
    pub fn parts(
        &self,
        view: ClassView,
        rows: usize,
        profile: &Profile,
        state_words: u64,
    ) -> usize {
        if self.kernel != Kernel::Rows || self.form.is_kept() || rows == 0 {
            return 1;
        }
        let tuning = &profile.tuning;
        let loads_of_lane =
            view.classes.div_ceil(self.load.elements() * self.geometry.lanes as usize);
        let busy = tuning.fill as usize * self.geometry.rows_per_group() as usize;
        let wanted = busy / rows;
        // States are memory that nobody asked for: 16 bytes for each 1,000 logits, and some KiB.
        let (rows, classes) = (rows as u64, view.classes as u64);
        let memory = STATES_BYTES + rows * classes / 1000 * 16;
        let affordable = (memory / (rows * 4 * state_words)) as usize;
        let allowed = loads_of_lane / tuning.part_loads as usize;
        wanted
            .min(allowed)
            .min(affordable.saturating_sub(1))
            .max(loads_of_lane.div_ceil(LANE_LOADS))
            .max(1)
    }
}

/// The widest load with a property.
fn widest_that(holds: impl Fn(Load) -> bool) -> Option<Load> {
    [Load::Eight, Load::Four, Load::One].into_iter().find(|&load| holds(load))
}

/// Classes up to which a lane keeps rows of its own.
pub(super) fn short_classes(profile: &Profile) -> usize {
    let load = profile.widest_load(ElementType::F32).elements();
    (profile.tuning.kept_short as usize / load).min(UNROLLED)
}

/// The loads in which rows are read that do not start on one.
pub(crate) fn ragged_load(input: ElementType) -> Load {
    if is_half(input) { Load::Eight } else { Load::Four }
}

/// Whether lanes share rows that are neighbours in memory: where a lane would fold for too long, or
/// too few lanes would have work.
fn shares_columns(view: ClassView, rows: usize, profile: &Profile) -> bool {
    let tuning = &profile.tuning;
    let busy = tuning.fill as usize * tuning.workgroup as usize / 4;
    let idle = rows < busy && view.classes >= SHARED_CLASSES;
    idle || view.classes > LANE_CLASSES
}
