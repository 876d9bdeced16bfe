//! What candle-transformers computes with unquantized weights, anew for every token.

use candle_core::{DType, Device, Tensor};
use candle_nn::Activation;
use candle_transformers::models::{glm4_new, lfm2, phi3, qwen3_moe};
use wenzhai::generate::{Request, TokenId};

use crate::support::networks::{self, Network};
use crate::support::tiny;

/// The network of one architecture, in f32.
pub enum Oracle {
    Phi3(phi3::Model),
    Glm4(glm4_new::ModelForCausalLM),
    Lfm2(lfm2::Model, lfm2::Config),
    Qwen3Moe(qwen3_moe::ModelForCausalLM),
}

impl Oracle {
    pub fn new(network: &Network) -> Oracle {
        let vocab_size = tiny::vocabulary().len();
        let head_dim = networks::head_dim(network.architecture);
        let rope_theta = networks::rope_base(network.architecture);
        let eps = f64::from(networks::NORM_EPS);
        let variables = network.variables(|name| unquantized_name(network.architecture, name));
        match network.architecture {
            "phi3" => {
                let config = phi3::Config {
                    vocab_size,
                    hidden_act: Activation::Silu,
                    hidden_size: networks::HIDDEN,
                    intermediate_size: networks::FFN,
                    num_hidden_layers: networks::LAYERS,
                    num_attention_heads: networks::HEADS,
                    num_key_value_heads: networks::KV_HEADS,
                    rms_norm_eps: eps,
                    rope_theta: rope_theta.into(),
                    bos_token_id: None,
                    eos_token_id: None,
                    rope_scaling: None,
                    max_position_embeddings: networks::CONTEXT,
                    original_max_position_embeddings: None,
                    partial_rotary_factor: None,
                    tie_word_embeddings: false,
                };
                Oracle::Phi3(phi3::Model::new(&config, variables).unwrap())
            }
            "glm4" => {
                let config = glm4_new::Config {
                    vocab_size,
                    hidden_size: networks::HIDDEN,
                    intermediate_size: networks::FFN,
                    num_hidden_layers: networks::LAYERS,
                    num_attention_heads: networks::HEADS,
                    head_dim: Some(head_dim),
                    partial_rotary_factor: Some(0.5),
                    attention_bias: Some(true),
                    num_key_value_heads: networks::KV_HEADS,
                    max_position_embeddings: networks::CONTEXT,
                    sliding_window: None,
                    tie_word_embeddings: false,
                    rope_theta: rope_theta.into(),
                    rms_norm_eps: eps,
                    hidden_act: Activation::Silu,
                    eos_token_id: None,
                };
                Oracle::Glm4(glm4_new::ModelForCausalLM::new(&config, variables).unwrap())
            }
            "lfm2" => {
                let kind = |layer| match networks::attends(layer) {
                    true => lfm2::LayerType::FullAttention,
                    false => lfm2::LayerType::Conv,
                };
                let config = lfm2::Config {
                    vocab_size,
                    hidden_size: networks::HIDDEN,
                    intermediate_size: networks::FFN,
                    num_hidden_layers: networks::LAYERS,
                    num_attention_heads: networks::HEADS,
                    num_key_value_heads: networks::KV_HEADS,
                    norm_eps: eps,
                    rope_theta,
                    max_position_embeddings: networks::CONTEXT,
                    conv_l_cache: networks::CONVOLVED,
                    conv_bias: false,
                    layer_types: (0..networks::LAYERS).map(kind).collect(),
                    tie_embedding: true,
                    bos_token_id: None,
                    eos_token_id: None,
                    use_flash_attn: false,
                };
                Oracle::Lfm2(lfm2::Model::new(&config, variables).unwrap(), config)
            }
            "qwen3moe" => {
                let config = qwen3_moe::Config {
                    vocab_size,
                    hidden_size: networks::HIDDEN,
                    intermediate_size: networks::FFN,
                    num_hidden_layers: networks::LAYERS,
                    num_attention_heads: networks::HEADS,
                    head_dim,
                    attention_bias: false,
                    num_key_value_heads: networks::KV_HEADS,
                    max_position_embeddings: networks::CONTEXT,
                    sliding_window: None,
                    max_window_layers: 0,
                    tie_word_embeddings: true,
                    rope_theta: rope_theta.into(),
                    rms_norm_eps: eps,
                    use_sliding_window: false,
                    hidden_act: Activation::Silu,
                    decoder_sparse_step: 1,
                    moe_intermediate_size: networks::FFN,
                    num_experts_per_tok: networks::EXPERTS[1],
                    num_experts: networks::EXPERTS[0],
                    norm_topk_prob: true,
                };
                Oracle::Qwen3Moe(qwen3_moe::ModelForCausalLM::new(&config, variables).unwrap())
            }
            other => panic!("no oracle for {other}"),
        }
    }

    /// The logits that follow `tokens`, with nothing remembered of other calls.
    fn logits(&mut self, tokens: &[TokenId]) -> Vec<f32> {
        let tokens = Tensor::new(tokens, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let logits = match self {
            Oracle::Phi3(model) => {
                model.clear_kv_cache();
                model.forward(&tokens, 0)
            }
            Oracle::Glm4(model) => {
                model.clear_kv_cache();
                model.forward(&tokens, 0)
            }
            Oracle::Lfm2(model, config) => {
                let mut cache = lfm2::Cache::new(true, DType::F32, config, &Device::Cpu).unwrap();
                model.forward(&tokens, 0, &mut cache)
            }
            Oracle::Qwen3Moe(model) => {
                model.clear_kv_cache();
                model.forward(&tokens, 0)
            }
        };
        logits.unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    /// What `job` must write, where only tokens are written that are allowed after all before them.
    pub fn write(
        &mut self,
        job: &Request,
        allows: impl Fn(&[TokenId], TokenId) -> bool,
    ) -> Vec<Vec<TokenId>> {
        let mut context = job.prompt.clone();
        let mut fields = Vec::new();
        for field in &job.fields {
            context.extend(&field.label);
            let start = context.len();
            for _ in 0..field.max_tokens {
                let logits = self.logits(&context);
                let ids = (0..logits.len() as TokenId).filter(|token| allows(&context, *token));
                let best = ids.max_by(|a, b| {
                    logits[*a as usize].total_cmp(&logits[*b as usize]).then(b.cmp(a))
                });
                context.push(best.unwrap());
            }
            fields.push(context[start..].to_vec());
        }
        fields
    }
}

/// What files of unquantized weights call a tensor.
fn unquantized_name(architecture: &str, name: &str) -> String {
    let Some((layer, part)) = name.strip_prefix("blk.").and_then(|name| name.split_once('.'))
    else {
        return match name {
            "token_embd.weight" => "model.embed_tokens.weight",
            "token_embd_norm.weight" => "model.embedding_norm.weight",
            "output_norm.weight" => "model.norm.weight",
            "output.weight" => "lm_head.weight",
            other => panic!("what is {other}?"),
        }
        .into();
    };
    let (part, end) = part.rsplit_once('.').unwrap();
    let part = match (architecture, part) {
        ("lfm2", "attn_norm") => "operator_norm",
        ("lfm2", "ffn_norm") => "ffn_norm",
        ("lfm2", "ffn_gate") => "feed_forward.w1",
        ("lfm2", "ffn_down") => "feed_forward.w2",
        ("lfm2", "ffn_up") => "feed_forward.w3",
        ("lfm2", "attn_output") => "self_attn.out_proj",
        ("lfm2", "attn_q_norm") => "self_attn.q_layernorm",
        ("lfm2", "attn_k_norm") => "self_attn.k_layernorm",
        ("lfm2", "shortconv.in_proj") => "conv.in_proj",
        ("lfm2", "shortconv.out_proj") => "conv.out_proj",
        ("lfm2", "shortconv.conv") => "conv.conv",
        (_, "attn_norm") => "input_layernorm",
        (_, "ffn_norm") => "post_attention_layernorm",
        (_, "post_attention_norm") => "post_self_attn_layernorm",
        (_, "post_ffw_norm") => "post_mlp_layernorm",
        (_, "attn_qkv") => "self_attn.qkv_proj",
        (_, "attn_q") => "self_attn.q_proj",
        (_, "attn_k") => "self_attn.k_proj",
        (_, "attn_v") => "self_attn.v_proj",
        (_, "attn_output") => "self_attn.o_proj",
        (_, "attn_q_norm") => "self_attn.q_norm",
        (_, "attn_k_norm") => "self_attn.k_norm",
        (_, "ffn_up") => "mlp.gate_up_proj",
        (_, "ffn_down") => "mlp.down_proj",
        (_, "ffn_gate_inp") => "mlp.gate",
        (_, "ffn_gate_exps") => "mlp.experts.{expert}.gate_proj",
        (_, "ffn_up_exps") => "mlp.experts.{expert}.up_proj",
        (_, "ffn_down_exps") => "mlp.experts.{expert}.down_proj",
        (_, other) => panic!("what is {other}?"),
    };
    format!("model.layers.{layer}.{part}.{end}")
}
