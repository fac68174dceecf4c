#include "server/tracing.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "base/log.h"
#include "base/text.h"
#include "rpc/spans.h"

namespace keelson::server {
namespace {

// A collector that cannot be reached is asked for as often as this.
constexpr Duration kLongestBackoff = seconds(10);
constexpr Duration kKeepAlive = minutes(1);
constexpr int64_t kMostQueue = 1 << 20;

std::string_view trimmed(std::string_view text) {
  return from_absl(absl::StripAsciiWhitespace(to_absl(text)));
}

// Without its %XX. Nothing for what begins one and is none.
std::optional<std::string> unescaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const bool escape = text[0] == '%';
    if (!escape) {
      out += text[0];
    } else {
      uint8_t byte = 0;
      const std::string_view digits = text.substr(1, 2);
      const auto [at, error] =
          std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
      if (digits.size() != 2 || error != std::errc() || at != digits.data() + 2) return {};
      out += static_cast<char>(byte);
    }
    text.remove_prefix(escape ? 3 : 1);
  }
  return out;
}

// "name=value,…", values with escapes; what has no '=' is nothing.
std::map<std::string, std::string> pairs_of(std::string_view text) {
  std::map<std::string, std::string> pairs;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    text.remove_prefix(std::min(part.size() + 1, text.size()));
    const size_t equals = part.find('=');
    if (equals == part.npos) continue;
    const std::string_view value = trimmed(part.substr(equals + 1));
    pairs[std::string(trimmed(part.substr(0, equals)))] =
        unescaped(value).value_or(std::string(value));
  }
  return pairs;
}

class Variables {
 public:
  explicit Variables(Variable variable) : variable_(variable) {}

  std::string text(const char* name) const { return std::string(trimmed(variable_(name))); }
  // The one for traces alone goes before the one for everything.
  std::string of_exporter(const char* name) const {
    std::string own = text(cat("OTEL_EXPORTER_OTLP_TRACES_", name).c_str());
    return own.empty() ? text(cat("OTEL_EXPORTER_OTLP_", name).c_str()) : own;
  }
  // Nothing for what is no number above 0.
  static std::optional<int64_t> number(const std::string& text) {
    int64_t value = 0;
    const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = error == std::errc() && at == text.data() + text.size();
    return whole && value > 0 ? std::optional(value) : std::nullopt;
  }
  static std::optional<Duration> time(const std::string& text) {
    const std::optional<int64_t> value = number(text);
    if (!value) return std::nullopt;
    return milliseconds(std::min<int64_t>(*value, 24 * 3600 * 1000));
  }

 private:
  const Variable variable_;
};

outbound::Resource resource_of(const TracingConfig& config, const Variables& variables) {
  std::map<std::string, std::string> named = pairs_of(variables.text("OTEL_RESOURCE_ATTRIBUTES"));
  named["service.name"] = config.service_name;
  if (!config.instance_id.empty()) named["service.instance.id"] = config.instance_id;
  named.erase("");
  return {named.begin(), named.end()};
}

trace::Batcher::Options batches_of(const Variables& variables) {
  trace::Batcher::Options options;
  auto number = [&](const char* name, size_t usual) {
    const std::optional<int64_t> value = Variables::number(variables.text(name));
    return value ? static_cast<size_t>(std::min(*value, kMostQueue)) : usual;
  };
  auto time = [](const std::string& text, Duration usual) {
    return Variables::time(text).value_or(usual);
  };
  options.queue.spans = number("OTEL_BSP_MAX_QUEUE_SIZE", options.queue.spans);
  options.queue.batch_spans = std::min(
      number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", options.queue.batch_spans), options.queue.spans);
  options.delay = time(variables.text("OTEL_BSP_SCHEDULE_DELAY"), options.delay);
  options.patience = std::min(time(variables.of_exporter("TIMEOUT"), options.patience),
                              time(variables.text("OTEL_BSP_EXPORT_TIMEOUT"), seconds(30)));
  return options;
}

// What metadata cannot have, and what is the library's own: grpc++ would end the process for it.
bool may_be_header(std::string_view name, std::string_view value) {
  const std::string_view reserved[] = {"te", "content-type", "user-agent", "host", "connection"};
  const auto in_name = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  };
  const auto in_value = [](char c) { return c >= ' ' && c <= '~'; };
  return !name.empty() && !name.starts_with("grpc-") && !name.ends_with("-bin") &&
         std::find(std::begin(reserved), std::end(reserved), name) == std::end(reserved) &&
         std::all_of(name.begin(), name.end(), in_name) &&
         std::all_of(value.begin(), value.end(), in_value);
}

}  // namespace

TracingSettings tracing_settings(const TracingConfig& config, Variable variable) {
  const Variables variables(variable);
  TracingSettings settings;
  outbound::OtlpOptions& collector = settings.collector;
  collector.address = config.address;
  collector.channel = {.cert = variables.of_exporter("CLIENT_CERTIFICATE"),
                       .key = variables.of_exporter("CLIENT_KEY"),
                       .cacert = variables.of_exporter("CERTIFICATE"),
                       .keepalive_time = kKeepAlive,
                       .keepalive_timeout = seconds(20),
                       .connect_timeout = seconds(5),
                       .longest_backoff = kLongestBackoff,
                       .user_agent = cat("OTel-OTLP-Exporter-Keelson/", kKeelsonVersion)};
  collector.resource = resource_of(config, variables);
  for (auto& [name, value] : pairs_of(variables.of_exporter("HEADERS"))) {
    std::string lower = absl::AsciiStrToLower(name);
    if (may_be_header(lower, value)) collector.headers.emplace_back(std::move(lower), value);
  }
  collector.gzip = variables.of_exporter("COMPRESSION") == "gzip";
  settings.batches = batches_of(variables);
  return settings;
}

void trace_revocations(node::Node& node, trace::Tracer& tracer) {
  node.set_revoking([&tracer](LeaseId id) -> node::Node::Revoked {
    etcdserverpb::LeaseRevokeRequest request;
    request.set_id(id.value);
    trace::SpanPtr span = rpc::make_own_span(&tracer, request);
    if (!span) return nullptr;
    span->event(trace::kProposed);
    return [span = std::move(span)](const absl::Status& status) mutable {
      if (rpc::is_applied(status)) {
        span->event(trace::kAnswered);
      } else {
        span->record_error(message_of(status));
      }
      span.reset();
    };
  });
}

absl::StatusOr<std::unique_ptr<Tracing>> Tracing::start(const TracingConfig& config,
                                                        const Clock& clock, uint64_t seed) {
  TracingSettings settings = tracing_settings(config, [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value ? value : "");
  });
  absl::StatusOr<std::unique_ptr<outbound::OtlpExporter>> exporter =
      outbound::OtlpExporter::open(std::move(settings.collector));
  if (!exporter.ok()) return exporter.status();
  log::debug("distributed tracing enabled", {{"address", config.address},
                                             {"service-name", config.service_name},
                                             {"service-instance-id", config.instance_id},
                                             {"sampling-rate", config.samples_per_million}});
  std::unique_ptr<Tracing> made(
      new Tracing(config, settings.batches, clock, seed, *std::move(exporter)));
  made->batcher_.start();
  log::info("distributed tracing setup enabled");
  return made;
}

Tracing::Tracing(const TracingConfig& config, const trace::Batcher::Options& batches,
                 const Clock& clock, uint64_t seed,
                 std::unique_ptr<outbound::OtlpExporter> exporter)
    : clock_(clock),
      random_(seed),
      exporter_(std::move(exporter)),
      batcher_(batches, lane_, clock, random_, *exporter_),
      tracer_({.samples_per_million = config.samples_per_million,
               .seed = {random_.next(), random_.next()}},
              clock, batcher_) {}

Tracing::~Tracing() { finish_close(); }

void Tracing::begin_close(Duration patience) {
  if (std::exchange(closing_, true)) return;
  until_ = clock_.now() + patience;
  batcher_.close(patience, [this] { flushed_.set_value(); });
}

void Tracing::finish_close() {
  if (std::exchange(closed_, true)) return;
  begin_close(Duration(0));
  if (flushed_.get_future().wait_for(until_ - clock_.now()) != std::future_status::ready) {
    exporter_->cancel();
  }
  lane_.stop();
}

}  // namespace keelson::server
