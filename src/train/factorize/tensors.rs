//! Matrices out of a checkpoint, and factors into one.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use faer::Mat;
use safetensors::{Dtype, View};
use serde_json::{Value, json};

use super::kind::Kind;
use super::ranks::Size;
use super::solve::Pair;
use super::{FactorizeError, Solver};
use crate::files::{read_bytes, write_whole, write_whole_folder};
use crate::nn::{Checkpoint, LayerLinear, NnError};

/// What makes tokens of texts.
pub(super) const TOKENIZER: &str = "tokenizer.json";
/// What a tokenizer and a generator read, beside the weights.
const BESIDE: [&str; 10] = [
    TOKENIZER,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "generation_config.json",
    "chat_template.jinja",
];
/// None of them is larger.
pub(super) const MOST_BESIDE: u64 = 100_000_000;

/// Where a linear stands in the checkpoint.
#[derive(Debug)]
pub(super) struct Place {
    /// Its name in the checkpoint that is written, without `.weight`.
    pub(super) name: String,
    /// The name of the matrix that is read, without `.weight`: its own, or that of the larger one it is a part of.
    dense: String,
    linear: LayerLinear,
}

/// The factors of a linear.
pub(super) struct Factors<'a> {
    pub(super) place: &'a Place,
    pub(super) matrices: Pair,
}

/// A tensor that is written.
struct Written<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Cow<'a, [u8]>,
}

impl Place {
    pub(super) fn size(&self) -> Size {
        self.linear.size
    }

    /// Its name, and that of the larger one it is a part of.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        [self.name.as_str(), self.dense.as_str()].into_iter()
    }

    /// The name that the matrix has in the model, without `.weight`.
    pub(super) fn model_name(&self) -> &str {
        self.linear.fused.as_ref().map_or(&self.linear.name, |fused| &fused.name)
    }

    fn weight(&self) -> String {
        format!("{}.weight", self.dense)
    }

    fn is_part(&self) -> bool {
        self.linear.fused.is_some()
    }

    /// The first of its outputs among those of the matrix that is read.
    fn first(&self) -> usize {
        self.linear.fused.as_ref().map_or(0, |fused| fused.first)
    }
}

impl Factors<'_> {
    pub(super) fn rank(&self) -> usize {
        self.matrices.rank
    }
}

impl View for Written<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.data)
    }

    fn data_len(&self) -> usize {
        self.data.len()
    }
}

/// Where a linear of the model stands in the checkpoint, whose names may lack that of the model's body.
pub(super) fn as_stored(checkpoint: &Checkpoint, linear: LayerLinear) -> Result<Place, FactorizeError> {
    let whole = linear.fused.as_ref().map_or(&linear.name, |fused| &fused.name);
    let weight = format!("{whole}.weight");
    let Some(stored) = checkpoint.stored_name(&weight) else {
        return Err(NnError::MissingWeight { path: checkpoint.path().to_owned(), name: weight }.into());
    };
    let body = weight.len() - stored.len();
    let place = Place { name: linear.name[body..].to_owned(), dense: whole[body..].to_owned(), linear };
    kind_of(checkpoint, &place)?;
    let view = checkpoint.get(&stored).map(|view| view.shape().to_vec()).unwrap_or_default();
    let (d_in, d_out) = place.size();
    let mut expected = vec![place.linear.fused.as_ref().map_or(d_out, |fused| fused.d_out), d_in];
    if place.linear.is_transposed {
        expected.reverse();
    }
    if view != expected {
        let path = checkpoint.path().to_owned();
        return Err(NnError::WeightShape { path, name: stored, found: view, expected }.into());
    }
    Ok(place)
}

/// The number type of the linear's matrix.
pub(super) fn kind_of(checkpoint: &Checkpoint, place: &Place) -> Result<Kind, FactorizeError> {
    let name = place.weight();
    let dtype = checkpoint.get(&name).map(|view| view.dtype());
    dtype
        .and_then(Kind::of)
        .ok_or_else(|| FactorizeError::Dtype { name, dtype: dtype.map_or_else(String::new, |d| d.to_string()) })
}

/// The matrix of a linear, `(d_out, d_in)`.
pub(super) fn matrix(checkpoint: &Checkpoint, place: &Place) -> Result<Mat<f64>, FactorizeError> {
    let name = place.weight();
    let kind = kind_of(checkpoint, place)?;
    let missing = || NnError::MissingWeight { path: checkpoint.path().to_owned(), name: name.clone() };
    let view = checkpoint.get(&name).ok_or_else(missing)?;
    let (values, columns, first) = (kind.read(view.data()), view.shape()[1], place.first());
    let (d_in, d_out) = place.size();
    let w = if place.linear.is_transposed {
        Mat::from_fn(d_out, d_in, |o, i| values[i * columns + first + o])
    } else {
        Mat::from_fn(d_out, d_in, |o, i| values[(first + o) * columns + i])
    };
    if !w.is_all_finite() {
        return Err(FactorizeError::NotFinite { name });
    }
    Ok(w)
}

/// Writes the checkpoint with the factors in the place of their matrices. Gives the number of weights before and after.
pub(super) fn write(
    checkpoint: &Checkpoint,
    all: &[Place],
    made: &[Factors],
    solver: Solver,
    output: &Path,
) -> Result<(u64, u64), FactorizeError> {
    let mut tensors: BTreeMap<String, Written> = BTreeMap::new();
    for name in checkpoint.names() {
        if let Some(view) = checkpoint.get(name) {
            let data = view.data();
            // The file outlives the view of it.
            tensors.insert(
                name.to_owned(),
                Written { dtype: view.dtype(), shape: view.shape().to_vec(), data: data.into() },
            );
        }
    }
    let count = |tensors: &BTreeMap<String, Written>| {
        tensors.values().map(|t| t.shape.iter().map(|n| *n as u64).product::<u64>()).sum::<u64>()
    };
    let before = count(&tensors);
    for place in all {
        let factors = made.iter().find(|factors| std::ptr::eq(factors.place, place));
        // A matrix of which one part has factors is taken apart.
        if factors.is_none() && !made.iter().any(|other| place.is_part() && other.place.dense == place.dense) {
            continue;
        }
        replace(&mut tensors, checkpoint, place, factors)?;
    }
    for factors in made {
        for part in ["weight", "bias"] {
            tensors.remove(&format!("{}.{part}", factors.place.dense));
        }
    }
    let after = count(&tensors);
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = safetensors::serialize(tensors, Some(metadata))?;
    let config = description(checkpoint.config().unwrap_or_default(), solver);
    let beside = BESIDE.map(|name| checkpoint.folder().join(name)).into_iter().filter(|path| path.is_file());
    let beside = beside.map(|path| Ok((path.clone(), read_bytes(&path, MOST_BESIDE).map_err(NnError::from)?)));
    let beside = beside.collect::<Result<Vec<_>, FactorizeError>>()?;
    let fill = |into: &Path| {
        write_whole(&into.join("model.safetensors"), &bytes)?;
        write_whole(&into.join("config.json"), config.as_bytes())?;
        for (path, bytes) in &beside {
            write_whole(&into.join(path.file_name().unwrap_or_default()), bytes)?;
        }
        Ok(())
    };
    write_whole_folder(output, fill).map_err(|source| FactorizeError::Write { path: output.to_owned(), source })?;
    Ok((before, after))
}

/// Puts what stands in the place of a linear among the tensors: its factors, or its own part of the matrix.
fn replace(
    tensors: &mut BTreeMap<String, Written>,
    checkpoint: &Checkpoint,
    place: &Place,
    factors: Option<&Factors>,
) -> Result<(), FactorizeError> {
    let kind = kind_of(checkpoint, place)?;
    let (d_in, d_out) = place.size();
    let name = &place.name;
    let weight = checkpoint.get(&place.weight());
    let Some(weight) = weight else { return Ok(()) };
    let dtype = weight.dtype();
    let mut put = |name: String, shape: Vec<usize>, data: Vec<u8>, dtype| {
        tensors.insert(name, Written { dtype, shape, data: Cow::Owned(data) });
    };
    let mut with_bias = name.clone();
    if let Some(Factors { matrices, .. }) = factors {
        put(format!("{name}.encode.weight"), vec![matrices.rank, d_in], kind.written(&matrices.encode), dtype);
        put(format!("{name}.decode.weight"), vec![d_out, matrices.rank], kind.written(&matrices.decode), dtype);
        with_bias += ".decode";
    } else {
        let width = weight.data().len() / weight.shape().iter().product::<usize>().max(1);
        let (rows, columns, shape) = if place.linear.is_transposed {
            (0..d_in, place.first()..place.first() + d_out, vec![d_in, d_out])
        } else {
            (place.first()..place.first() + d_out, 0..d_in, vec![d_out, d_in])
        };
        let row = weight.shape()[1];
        let bytes = |r: usize| &weight.data()[(r * row + columns.start) * width..(r * row + columns.end) * width];
        put(format!("{name}.weight"), shape, rows.flat_map(bytes).copied().collect(), dtype);
    }
    if let Some(bias) = checkpoint.get(&format!("{}.bias", place.dense)) {
        let width = bias.data().len() / bias.shape().iter().product::<usize>().max(1);
        let own = place.first() * width..(place.first() + d_out) * width;
        let Some(own) = bias.data().get(own) else {
            let (path, name) = (checkpoint.path().to_owned(), format!("{}.bias", place.dense));
            let (found, expected) = (bias.shape().to_vec(), vec![place.first() + d_out]);
            return Err(NnError::WeightShape { path, name, found, expected }.into());
        };
        put(format!("{with_bias}.bias"), vec![d_out], own.to_vec(), bias.dtype());
    }
    Ok(())
}

/// The description of the checkpoint that is written.
fn description(config: &str, solver: Solver) -> String {
    let mut config: Value = serde_json::from_str(config.trim_start_matches('\u{feff}')).unwrap_or_default();
    if let Some(object) = config.as_object_mut() {
        object.insert(Checkpoint::FACTORIZED.to_owned(), json!({ "by": "greenformers", "solver": solver }));
    }
    format!("{config:#}\n")
}
