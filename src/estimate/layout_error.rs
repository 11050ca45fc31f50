//! Why devices cannot be laid out as it is asked.

/// A layout that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Not understood.
    #[error(
        "`{0}` in `--layout`: expected `auto`, or some of `dp=N`, `tp=N`, `pp=N`, `cp=N`, `ep=N`, `zero=0|1|2|3`, `sequence_parallel=true|false`, `recompute=none|selective|full`, `micro_batch=N` and `interleave=N`\nhint: `--layout dp=8,tp=4,pp=2,zero=1,recompute=selective`"
    )]
    Unknown(String),
    /// Said twice.
    #[error("`{0}` is there twice in `--layout`: expected it once")]
    Twice(String),
    /// Other devices than there are.
    #[error(
        "`{layout}` is of {product} devices, and the run has {devices}: expected dp x cp x tp x pp = {devices}\nhint: leave out `--devices`, or change `dp`"
    )]
    Devices {
        /// The layout.
        layout: String,
        /// Its devices.
        product: u64,
        /// Those that there are.
        devices: u32,
    },
    /// Heads cannot be shared out.
    #[error(
        "`tp={tp}` does not divide the {heads} {of}: expected a divisor of {heads}\nhint: fewer devices in a tensor group, and more `pp` or `dp`"
    )]
    Heads {
        /// Devices of a tensor group.
        tp: u32,
        /// Heads.
        heads: usize,
        /// Whose.
        of: &'static str,
    },
    /// Experts cannot be shared out, or there are none.
    #[error(
        "`ep={ep}` {}\nhint: leave out `ep`, or name a divisor of the number of experts",
        if *experts == 0 { "shares experts, and the model has none".to_owned() } else { format!("does not divide the {experts} experts") }
    )]
    Experts {
        /// Devices that share the experts.
        ep: u32,
        /// Experts of a layer.
        experts: usize,
    },
    /// Experts are shared among the replicas of everything else.
    #[error(
        "`ep={ep}` is shared by {replicas} devices (dp x cp): expected a divisor of {replicas}\nhint: a smaller `ep`, or more `dp`"
    )]
    ExpertGroups {
        /// Devices that share the experts.
        ep: u32,
        /// Devices that hold the same part of everything else.
        replicas: u32,
    },
    /// A sequence that devices cannot share.
    #[error("`cp={cp}` does not divide a sequence of {seq_len} tokens: expected a divisor of {seq_len}")]
    Context {
        /// Devices that share a sequence.
        cp: u32,
        /// Its tokens.
        seq_len: usize,
    },
    /// Attention that writes its scores, over a sequence that nobody has whole.
    #[error(
        "`cp={0}` with `--attention composed`: expected fused attention, which alone works on keys and values as they come around\nhint: leave out `--attention`, or `cp`"
    )]
    ComposedContext(u32),
    /// A stage would have no layer.
    #[error(
        "`pp={pp}` with `interleave={interleave}` needs {needed} layers, and the model has {layers}: expected at most as many"
    )]
    Stages {
        /// Stages.
        pp: u32,
        /// Pieces on each.
        interleave: u32,
        /// Layers for one in each piece.
        needed: u64,
        /// Layers that there are.
        layers: usize,
    },
    /// Weights are gathered in each micro-batch.
    #[error(
        "`zero=3` with `pp={0}`: expected at most `zero=2` in a pipeline, whose every micro-batch would gather all weights again\nhint: `zero=1`, or `pp=1`"
    )]
    ShardedPipeline(u32),
    /// Nothing to interleave, or something that a schedule cannot.
    #[error("`interleave={0}` needs a pipeline: expected `pp=2` or more")]
    Interleave(u32),
    /// Micro-batches of an interleaved pipeline go round in groups.
    #[error(
        "{micro_batches} micro-batches do not go round {pp} interleaved stages evenly: expected a multiple of {pp}\nhint: `interleave=1`, or another `micro_batch`"
    )]
    Rounds {
        /// Micro-batches of a step.
        micro_batches: usize,
        /// Stages.
        pp: u32,
    },
    /// A batch that replicas cannot share.
    #[error(
        "a batch of {batch_size} sequences is not shared evenly by `dp={dp}` with micro-batches of {micro_batch}: expected a multiple of {}\nhint: another `dp` or `micro_batch`, or another `--batch-size`", u64::from(*dp) * *micro_batch as u64
    )]
    Batch {
        /// Sequences of a step.
        batch_size: usize,
        /// Replicas.
        dp: u32,
        /// Sequences of a micro-batch.
        micro_batch: usize,
    },
    /// What is trained is a part of what is held, which the memory of a layout does not tell apart.
    #[error(
        "`--layout` with `{0}`: layouts are worked out for weights of 16 bits and more\nhint: leave out `--layout`, or `--arch lora:rank=16`"
    )]
    Lora(String),
    /// Tensor parallelism of an architecture that nobody runs.
    #[error(
        "`tp={tp}` with `{arch}`: expected `dense`, how others share their products over devices is not known\nhint: `--arch dense`, or `tp=1`"
    )]
    Arch {
        /// Devices of a tensor group.
        tp: u32,
        /// The architecture.
        arch: String,
    },
    /// A layout of what was measured.
    #[error(
        "`--layout` models a device of the catalog: expected `--hardware NAME`, and no record and no `--step-time`\nhint: leave out `--layout`"
    )]
    NotModelled,
    /// `auto` found nothing.
    #[error("no layout of {devices} devices fits\n{why}hint: more `--devices`, more memory, or a smaller model")]
    NothingFits {
        /// Devices.
        devices: u32,
        /// Why the nearest do not, a line each.
        why: String,
    },
}
