#include "tests/trace/trace.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "base/text.h"

namespace keelson::trace {
namespace {

const std::string kNothing;

const std::string& first(const std::vector<Message>& messages, bool from_client) {
  for (const Message& message : messages) {
    if (message.from_client == from_client) return message.body;
  }
  return kNothing;
}

struct ClosePipe {
  void operator()(FILE* pipe) const { pclose(pipe); }
};

void open_call(const nlohmann::json& event, Call* call) {
  call->stream = event.at("s");
  call->path = event.at("path");
  if (!event.contains("meta")) return;
  for (const auto& [name, value] : event.at("meta").items()) {
    if (name != "grpc-timeout") call->metadata.emplace(name, value.get<std::string>());
  }
}

absl::Status add_message(const nlohmann::json& event, bool from_client, Call* call) {
  std::string body;
  if (!absl::Base64Unescape(event.at("m").get<std::string>(), &body)) {
    return absl::DataLossError("not base64");
  }
  call->messages.push_back({from_client, std::move(body)});
  return absl::OkStatus();
}

// Takes one line into the trace; `places` says where each stream's call is.
absl::Status add_event(const nlohmann::json& event, std::map<int, size_t>* places, Trace* trace) {
  const std::string kind = event.at("e");
  const int stream = event.at("s");
  if (kind == "open") {
    (*places)[stream] = trace->calls.size();
    open_call(event, &trace->calls.emplace_back());
    return absl::OkStatus();
  }
  const auto place = places->find(stream);
  if (place == places->end()) return absl::DataLossError(cat("stream ", stream, " is not open"));
  Call& call = trace->calls[place->second];
  if (kind == "req" || kind == "rsp") return add_message(event, kind == "req", &call);
  if (kind == "end") {
    call.ended = true;
    call.status = event.at("status");
    call.message = event.at("msg");
  }
  return absl::OkStatus();
}

}  // namespace

const std::string& Call::request() const { return first(messages, true); }
const std::string& Call::answer() const { return first(messages, false); }

absl::StatusOr<Trace> read_trace(const std::string& path) {
  if (access(path.c_str(), R_OK) != 0) return absl::NotFoundError(cat("no recording at ", path));
  std::unique_ptr<FILE, ClosePipe> pipe(popen(cat("xz -dc '", path, "'").c_str(), "r"));
  if (pipe == nullptr) return absl::UnavailableError("xz does not run");
  Trace trace;
  std::map<int, size_t> places;
  char* raw = nullptr;
  size_t room = 0;
  int number = 0;
  for (ssize_t length; (length = getline(&raw, &room, pipe.get())) > 0;) {
    ++number;
    const auto event = nlohmann::json::parse(raw, raw + length, nullptr, false);
    absl::Status status =
        event.is_discarded() ? absl::DataLossError("not JSON") : add_event(event, &places, &trace);
    if (!status.ok()) {
      free(raw);
      return absl::DataLossError(cat(path, ":", number, ": ", status.message()));
    }
  }
  free(raw);
  if (trace.calls.empty()) return absl::DataLossError(cat(path, " holds nothing"));
  return trace;
}

}  // namespace keelson::trace
