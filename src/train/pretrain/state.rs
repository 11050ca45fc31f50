//! What is written of a training, and how it goes on from there.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::safetensors::Load as _;
use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::PretrainError;
use super::init::Init;
use super::trainer::Trainer;
use crate::files::{read_head, write_whole, write_whole_folder};
use crate::model::Arch;
use crate::nn::{Checkpoint, Guides, NnError, Params};

/// The weights, for others: all, or those of LoRA with what describes them, as peft reads them.
const MODEL: &str = "model.safetensors";
const ADAPTER: &str = "adapter_model.safetensors";
const ADAPTER_CONFIG: &str = "adapter_config.json";
/// What peft puts before the names of a model.
const OF_PEFT: &str = "base_model.model.";
/// The weights and moments, for who goes on: one file, so that they are of one step whatever happens.
pub(super) const STATE: &str = "state.safetensors";
const CONFIG: &str = "config.json";
/// What makes its tokens.
pub(super) const TOKENIZER: &str = "tokenizer.json";
/// What it took.
pub(super) const RECORD: &str = "train.json";
/// The key of the metadata that says how far it is.
const KEY: &str = "greenformers";
/// The header of a state is no longer than that of other checkpoints.
const MOST_HEAD: usize = (1 << 20) + LENGTH;
/// The header's length stands before it.
const LENGTH: usize = 8;
const MOMENTS: [&str; 2] = ["moment1.", "moment2."];

/// How a training began: it goes on the same way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) config: String,
    pub(super) arch: String,
    /// States without it are of `normal`.
    #[serde(default)]
    pub(super) init: Init,
    /// States without it are of trainings that nothing guided.
    #[serde(default)]
    pub(super) guided: bool,
    pub(super) seq_len: usize,
    pub(super) batch_size: usize,
    pub(super) lr: f64,
    pub(super) warmup_steps: u64,
    pub(super) decay_steps: Option<u64>,
    pub(super) seed: u64,
    /// The fingerprint of all tokens.
    pub(super) tokens: String,
}

impl Settings {
    /// The steps in which factors are guided: half of those until the rate stands still.
    pub(super) fn guided_steps(&self) -> Option<u64> {
        self.decay_steps.filter(|_| self.guided).map(|steps| steps / 2)
    }

    /// These, if there are steps for what is to guide them.
    pub(super) fn checked(self) -> Result<Self, PretrainError> {
        if self.guided && self.guided_steps().is_none_or(|steps| steps == 0) {
            return Err(PretrainError::NoStepsToGuide);
        }
        Ok(self)
    }
}

/// How far a training is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) step: u64,
    pub(super) seconds: f64,
    pub(super) joules: Option<f64>,
    pub(super) total_seconds: f64,
    pub(super) total_joules: Option<f64>,
    pub(super) settings: Settings,
}

/// The files of a training at a step.
pub(super) struct Files {
    /// By its name.
    model: (&'static str, Vec<u8>),
    state: Vec<u8>,
    record: Vec<u8>,
}

impl Files {
    pub(super) fn of(trainer: &Trainer, state: &State, record: &impl Serialize) -> Result<Self, PretrainError> {
        let params = trainer.params();
        let mut tensors = BTreeMap::new();
        for (name, tensor) in params.as_stored()? {
            tensors.insert(name.to_owned(), tensor.to_dtype(DType::F32).map_err(NnError::from)?);
        }
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let is_lora = matches!(state.settings.arch.parse(), Ok(Arch::Lora { .. }));
        let model = if is_lora {
            let pairs = tensors.iter().filter(|(name, _)| params.get(name).is_some());
            let pairs: BTreeMap<String, &Tensor> =
                pairs.map(|(name, pair)| (format!("{OF_PEFT}{name}"), pair)).collect();
            (ADAPTER, safetensors::serialize(pairs, Some(metadata))?)
        } else {
            (MODEL, safetensors::serialize(tensors.iter(), Some(metadata))?)
        };
        let guided = trainer.guided().map(|guided| (guided.params(), guided.optimizer()));
        if let Some((guides, _)) = guided {
            for (name, tensor) in guides.as_stored()? {
                tensors.insert(name.to_owned(), tensor.to_dtype(DType::F32).map_err(NnError::from)?);
            }
        }
        for (params, optimizer) in [(params, trainer.optimizer())].into_iter().chain(guided) {
            for (name, moments) in optimizer.moments(params)? {
                for (before, moment) in MOMENTS.iter().zip(&moments) {
                    tensors.insert(format!("{before}{name}"), moment.to_dtype(DType::F32).map_err(NnError::from)?);
                }
            }
        }
        let said = serde_json::to_string(state).unwrap_or_default();
        let state = safetensors::serialize(tensors.iter(), Some(HashMap::from([(KEY.to_owned(), said)])))?;
        let record = serde_json::to_vec_pretty(record).unwrap_or_default();
        Ok(Self { model, state, record: [record, b"\n".to_vec()].concat() })
    }

    /// Makes the folder, with the texts of the `config.json`, the `tokenizer.json` and, of LoRA, the `adapter_config.json`.
    pub(super) fn write_first(
        &self,
        folder: &Path,
        (config, tokenizer, adapter): (&str, &str, Option<&str>),
    ) -> Result<(), PretrainError> {
        let fill = |into: &Path| {
            if let Some(adapter) = adapter {
                write_whole(&into.join(ADAPTER_CONFIG), adapter.as_bytes())?;
            }
            write_whole(&into.join(CONFIG), config.as_bytes())?;
            write_whole(&into.join(TOKENIZER), tokenizer.as_bytes())?;
            self.put(into)
        };
        write_whole_folder(folder, fill).map_err(|source| PretrainError::Write { path: folder.to_owned(), source })
    }

    /// Replaces those of an earlier step, each whole.
    pub(super) fn write(&self, folder: &Path) -> Result<(), PretrainError> {
        self.put(folder).map_err(|source| PretrainError::Write { path: folder.to_owned(), source })
    }

    /// The state goes first: with it, the others can be written again.
    fn put(&self, folder: &Path) -> std::io::Result<()> {
        for (name, bytes) in [(STATE, &self.state), (self.model.0, &self.model.1), (RECORD, &self.record)] {
            write_whole(&folder.join(name), bytes)?;
        }
        Ok(())
    }
}

/// How far the training in a folder is.
pub(super) fn read(folder: &Path) -> Result<State, PretrainError> {
    let nothing = |reason: &dyn std::fmt::Display| PretrainError::NothingToResume {
        path: folder.to_owned(),
        reason: reason.to_string(),
    };
    let path = folder.join(STATE);
    if !path.is_file() {
        return Err(nothing(&format!("it has no `{STATE}`")));
    }
    let (head, size) = read_head(&path, MOST_HEAD)?;
    crate::nn::check_head(&head, size).map_err(|reason| nothing(&format!("of `{STATE}`: {reason}")))?;
    // The header alone was read: it stands behind its length, which has been held to the file.
    let length = head.first_chunk().map_or(0, |length| usize::try_from(u64::from_le_bytes(*length)).unwrap_or(0));
    let header: Value = serde_json::from_slice(&head[LENGTH..LENGTH + length]).map_err(|e| nothing(&e))?;
    let said = header["__metadata__"][KEY].as_str().unwrap_or_default();
    serde_json::from_str(said).map_err(|e| nothing(&format!("`{STATE}` does not say how far it is: {e}")))
}

/// The weights of the state in a folder.
pub(super) fn params(folder: &Path) -> Result<Params, NnError> {
    Params::from_safetensors(&folder.join(STATE), DType::F32, &Device::Cpu)
}

/// Goes on from the state in a folder, with what guides it if that is still there after so many steps.
pub(super) fn go_on(
    folder: &Path,
    (step, guided_steps): (u64, Option<u64>),
    trainer: &mut Trainer,
) -> Result<(), NnError> {
    let checkpoint = Checkpoint::open(&folder.join(STATE))?;
    let moments = |name: &str| {
        let moment = |before: &str| {
            let name = format!("{before}{name}");
            let missing = || NnError::MissingWeight { path: checkpoint.path().to_owned(), name: name.clone() };
            Ok::<_, NnError>(checkpoint.get(&name).ok_or_else(missing)?.load(&Device::Cpu)?)
        };
        Ok([moment(MOMENTS[0])?, moment(MOMENTS[1])?])
    };
    trainer.go_on(step, moments)?;
    match guided_steps.filter(|steps| step < *steps) {
        Some(steps) => trainer.go_on_guided((Guides::read(trainer.params(), &checkpoint)?, steps), moments),
        None => Ok(()),
    }
}
