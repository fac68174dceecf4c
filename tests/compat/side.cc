#include "tests/compat/side.h"

#include <google/protobuf/text_format.h>

#include <algorithm>
#include <thread>

#include "base/text.h"
#include "proto/rpc.pb.h"
#include "tests/harness/http.h"

namespace keelson::compat {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using harness::Milliseconds;
using std::chrono::steady_clock;

constexpr Milliseconds kPatience{20000};
constexpr Milliseconds kProgressPatience{500};
constexpr Milliseconds kPollEvery{50};

Answer broken(const std::string& why) {
  Answer answer;
  answer.broken = true;
  answer.message = why;
  return answer;
}

std::pair<std::string, std::string> split_word(const std::string& text) {
  const size_t space = std::min(text.find(' '), text.size());
  const size_t next = std::min(text.find_first_not_of(' ', space), text.size());
  return {text.substr(0, space), text.substr(next)};
}

harness::CallOptions call_options(const Step& step) {
  harness::CallOptions out;
  out.deadline = Milliseconds(std::stoll(step.option("deadline", "30000")));
  for (const auto& [name, value] : step.options) {
    if (name.starts_with("meta:")) out.metadata.emplace(name.substr(5), value);
  }
  return out;
}

std::string from_hex(const std::string& text) {
  std::string out;
  std::string digits;
  for (char c : text) {
    if (isxdigit(static_cast<unsigned char>(c)) != 0) digits += c;
  }
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    out += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  return out;
}

// The text of what `path` ("header.revision", "kvs[1].lease") names; nothing when it is not there.
std::optional<std::string> field_text(const Message& message, const std::string& path) {
  const size_t dot = std::min(path.find('.'), path.size());
  std::string name = path.substr(0, dot);
  int index = -1;
  if (const size_t bracket = name.find('['); bracket != std::string::npos) {
    index = std::stoi(name.substr(bracket + 1));
    name.resize(bracket);
  }
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(name);
  if (field == nullptr || field->is_repeated() != (index >= 0)) return std::nullopt;
  const auto* reflection = message.GetReflection();
  if (index >= 0 && index >= reflection->FieldSize(message, field)) return std::nullopt;
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    const Message& inner = index >= 0 ? reflection->GetRepeatedMessage(message, field, index)
                                      : reflection->GetMessage(message, field);
    return field_text(inner, path.substr(std::min(dot + 1, path.size())));
  }
  std::string text;
  google::protobuf::TextFormat::PrintFieldValueToString(message, field, index, &text);
  if (text.size() >= 2 && text.front() == '"') text = text.substr(1, text.size() - 2);
  return text;
}

// A watch's events may come in other batches; its order and its content may not differ. One
// response for each watch with all of its events, without headers; what is no event stays as it is.
std::vector<std::shared_ptr<Message>> flatten(const std::vector<std::shared_ptr<Message>>& in) {
  std::map<int64_t, std::shared_ptr<etcdserverpb::WatchResponse>> watches;
  std::vector<std::shared_ptr<Message>> out;
  for (const auto& message : in) {
    const auto* response = dynamic_cast<const etcdserverpb::WatchResponse*>(message.get());
    if (response == nullptr || response->events().empty()) {
      out.push_back(message);
      continue;
    }
    auto& all = watches[response->watch_id()];
    if (all == nullptr) all = std::make_shared<etcdserverpb::WatchResponse>();
    all->set_watch_id(response->watch_id());
    all->mutable_events()->MergeFrom(response->events());
    if (response->header().revision() < response->events().rbegin()->kv().mod_revision()) {
      all->set_cancel_reason("a header revision before its own events");
    }
  }
  for (auto& [id, all] : watches) out.push_back(all);
  return out;
}

// Watches of one stream are told of one change in no certain order.
void sort_by_watch(std::vector<std::shared_ptr<Message>>* messages) {
  const auto id = [](const std::shared_ptr<Message>& message) {
    const auto* response = dynamic_cast<const etcdserverpb::WatchResponse*>(message.get());
    return response == nullptr ? int64_t{0} : response->watch_id();
  };
  std::stable_sort(messages->begin(), messages->end(),
                   [&](const auto& a, const auto& b) { return id(a) < id(b); });
}

}  // namespace

// etcd 3.7 finds handlers by the rules that Go's ServeMux has had since 1.22, whatever the packager
// of an older etcd has told it.
Side::Side(const std::string& binary, std::vector<std::string> flags)
    : server_({.binary = binary,
               .flags = std::move(flags),
               .environment = {"GODEBUG=httpmuxgo121=0"},
               .keep_data = ""}) {}

absl::Status Side::start() {
  absl::Status status = server_.start();
  return status.ok() ? learn_identity() : status;
}

absl::Status Side::learn_identity() {
  etcdserverpb::StatusResponse answer;
  const grpc::Status status = server_.client().unary("/etcdserverpb.Maintenance/Status",
                                                     etcdserverpb::StatusRequest(), &answer);
  if (!status.ok()) return absl::UnavailableError(status.error_message());
  version_ = answer.version();
  mask_.learn_server(answer.header().cluster_id(), answer.header().member_id(),
                     server_.client_url(), server_.peer_url());
  return absl::OkStatus();
}

absl::Status Side::restart(bool kill) {
  streams_.clear();
  if (kill) {
    server_.kill();
  } else if (absl::Status status = server_.stop(); !status.ok()) {
    return status;
  }
  return server_.start();
}

Answer Side::take(const Step& written) {
  Step step = written;
  absl::StatusOr<std::string> rest = expand(step.rest, variables_);
  if (!rest.ok()) return broken(std::string(rest.status().message()));
  for (auto& [name, value] : step.options) {
    absl::StatusOr<std::string> expanded = expand(value, variables_);
    if (!expanded.ok()) return broken(std::string(expanded.status().message()));
    value = *std::move(expanded);
  }
  Answer answer = take_unmasked(step, *rest);
  if (step.verb != "let") last_ = answer;
  return masked(std::move(answer));
}

Answer Side::masked(Answer answer) {
  for (auto& message : answer.messages) {
    std::shared_ptr<Message> copy(message->New());
    copy->CopyFrom(*message);
    mask_.apply(copy.get());
    message = copy;
  }
  answer.message = mask_.apply(answer.message);
  answer.text = mask_.apply(answer.text);
  return answer;
}

Answer Side::take_unmasked(const Step& step, const std::string& rest) {
  const auto [name, tail] = split_word(rest);
  if (step.verb == "call") return unary(step, name, tail);
  if (step.verb == "raw") return raw(step, name, tail);
  if (step.verb == "poll") return poll(step, name, tail);
  if (step.verb == "let") return let(rest);
  if (step.verb == "http") return http(step, rest);
  if (step.verb == "post") return post(step, rest);
  if (step.verb == "restart" || step.verb == "kill") return restart_step(step.verb == "kill");
  return streaming(step, name, tail);
}

Answer Side::restart_step(bool kill) {
  const absl::Status status = restart(kill);
  return status.ok() ? Answer() : broken(std::string(status.message()));
}

// Sends one request and gathers every answer: of a unary method one, of a server stream all.
Answer Side::serve(const harness::Method& method, const std::string& body, const Step& step) {
  Answer answer;
  grpc::Status status;
  std::vector<std::string> bodies;
  if (method.server_streams() || method.client_streams()) {
    auto stream = server_.client().stream(method.path, call_options(step));
    stream->send(body);
    stream->half_close();
    while (auto next = stream->receive(kPatience)) bodies.push_back(*std::move(next));
    status = stream->finish();
  } else {
    harness::Reply reply = server_.client().unary(method.path, body, call_options(step));
    status = reply.status;
    if (status.ok()) bodies.push_back(std::move(reply.body));
  }
  answer.code = status.error_code();
  answer.message = status.error_message();
  for (const std::string& each : bodies) {
    if (method.about == nullptr) return broken("an unknown method answered");
    std::shared_ptr<Message> message = harness::new_message(method.about->output_type());
    if (!harness::parse(each, message.get())) return broken("the answer does not parse");
    answer.messages.push_back(std::move(message));
  }
  if (step.options.contains("last") && answer.messages.size() > 1) {
    answer.messages.erase(answer.messages.begin(), answer.messages.end() - 1);
  }
  return answer;
}

Answer Side::unary(const Step& step, const std::string& name, const std::string& request) {
  const harness::Method method = harness::find_method(name);
  if (method.about == nullptr) return broken(cat("no such method: ", name));
  auto message = harness::new_message(method.about->input_type());
  if (!google::protobuf::TextFormat::ParseFromString(request, message.get())) {
    return broken(cat("the request does not parse: ", request.substr(0, 200)));
  }
  Answer answer = serve(method, message->SerializeAsString(), step);
  const auto* grant = dynamic_cast<const etcdserverpb::LeaseGrantRequest*>(message.get());
  if (grant != nullptr && grant->id() == 0 && !answer.messages.empty()) {
    mask_.learn_lease(
        dynamic_cast<const etcdserverpb::LeaseGrantResponse&>(*answer.messages[0]).id());
  }
  return answer;
}

Answer Side::call(const std::string& method, const Message& request) {
  return masked(serve(harness::find_method(method), request.SerializeAsString(), Step()));
}

Answer Side::raw(const Step& step, const std::string& name, const std::string& hex) {
  return serve(harness::find_method(name), from_hex(hex), step);
}

// Asks until the answer's text holds (or, with a leading '!', no longer holds) what `until` says.
Answer Side::poll(const Step& step, const std::string& name, const std::string& request) {
  std::string wanted = step.option("until");
  const bool absent = wanted.starts_with('!');
  if (absent) wanted.erase(0, 1);
  const auto until = steady_clock::now() + Milliseconds(60000);
  while (steady_clock::now() < until) {
    Answer answer = unary(step, name, request);
    if (answer.broken || (show(answer).find(wanted) == std::string::npos) == absent) return answer;
    std::this_thread::sleep_for(kPollEvery);
  }
  return broken(cat("never came: ", step.option("until")));
}

Answer Side::let(const std::string& rest) {
  const size_t equals = rest.find('=');
  if (equals == std::string::npos) return broken("let needs name = path");
  const std::string name = rest.substr(0, rest.find_last_not_of(' ', equals - 1) + 1);
  const size_t from = rest.find_first_not_of(' ', equals + 1);
  if (last_.messages.empty() || from == std::string::npos) return broken("let without an answer");
  const auto value = field_text(*last_.messages.front(), rest.substr(from));
  if (!value.has_value()) return broken(cat("the answer has no ", rest.substr(from)));
  variables_[name] = *value;
  return Answer();
}

Answer Side::http(const Step& step, const std::string& rest) {
  const auto [verb, target] = split_word(rest);
  const auto got = harness::http_request(server_.address(), verb, target);
  if (!got.ok()) return broken(std::string(got.status().message()));
  Answer answer;
  answer.text = cat("HTTP ", got->code);
  if (!step.options.contains("code")) answer.text += cat(" ", got->content_type, " ", got->body);
  return answer;
}

Answer Side::streaming(const Step& step, const std::string& name, const std::string& rest) {
  if (step.verb == "stream") return open_stream(step, name, rest);
  const auto found = streams_.find(name);
  if (found == streams_.end()) return broken(cat("no stream ", name));
  OpenStream& open = found->second;
  if (step.verb == "send") return send(open, rest);
  if (step.verb == "recv") return receive(open, rest.empty() ? 1 : std::stoi(rest));
  if (step.verb == "collect") return collect(open, std::stoi(rest));
  if (step.verb == "progress") return progress(open);
  if (step.verb == "finish") return finish(open);
  if (step.verb == "half") {
    open.stream->half_close();
  } else {
    streams_.erase(found);
  }
  return Answer();
}

Answer Side::open_stream(const Step& step, const std::string& name, const std::string& method) {
  OpenStream open;
  open.method = harness::find_method(method);
  if (open.method.about == nullptr) return broken(cat("no such method: ", method));
  harness::CallOptions options = call_options(step);
  if (!step.options.contains("deadline")) options.deadline = Milliseconds(600000);
  open.stream = server_.client().stream(open.method.path, options);
  streams_[name] = std::move(open);
  return Answer();
}

Answer Side::send(OpenStream& open, const std::string& request) {
  auto message = harness::new_message(open.method.about->input_type());
  if (!google::protobuf::TextFormat::ParseFromString(request, message.get())) {
    return broken(cat("the request does not parse: ", request.substr(0, 200)));
  }
  open.stream->send(message->SerializeAsString());
  return Answer();
}

std::shared_ptr<Message> Side::next(OpenStream& open, Milliseconds patience) {
  const auto body = open.stream->receive(patience);
  if (!body.has_value()) return nullptr;
  std::shared_ptr<Message> message = harness::new_message(open.method.about->output_type());
  return harness::parse(*body, message.get()) ? message : nullptr;
}

Answer Side::receive(OpenStream& open, int count) {
  Answer answer;
  for (int i = 0; i < count; ++i) {
    auto message = next(open, kPatience);
    if (message == nullptr) return broken(cat("only ", i, " answers came, then ", show(answer)));
    answer.messages.push_back(std::move(message));
  }
  sort_by_watch(&answer.messages);
  return answer;
}

Answer Side::collect(OpenStream& open, int events) {
  Answer answer;
  for (int seen = 0; seen < events;) {
    auto message = next(open, kPatience);
    if (message == nullptr) return broken(cat("only ", seen, " events came: ", show(answer)));
    const auto* response = dynamic_cast<const etcdserverpb::WatchResponse*>(message.get());
    if (response != nullptr) seen += response->events_size();
    answer.messages.push_back(std::move(message));
  }
  answer.messages = flatten(answer.messages);
  return answer;
}

// Asks how far the stream's watches are. The answer comes only when they have seen everything, so
// whatever a watch has to say is said before it; one that is still catching up is asked again.
Answer Side::progress(OpenStream& open) {
  Answer answer;
  const auto until = steady_clock::now() + kPatience;
  int asked = 0;
  int answered = 0;
  while (answered == 0 || answered < asked) {
    if (steady_clock::now() > until) return broken(cat("no progress answer: ", show(answer)));
    if (answered == 0) {
      etcdserverpb::WatchRequest request;
      request.mutable_progress_request();
      open.stream->send(request.SerializeAsString());
      ++asked;
    }
    while (auto message = next(open, kProgressPatience)) {
      const auto& response = dynamic_cast<const etcdserverpb::WatchResponse&>(*message);
      const bool is_progress = response.events().empty() && response.watch_id() == -1;
      if (!is_progress || answered == 0) answer.messages.push_back(message);
      if (is_progress && ++answered == asked) break;
    }
    if (answered > 0) break;
    if (open.stream->ended()) return broken("the stream ended");
  }
  answer.messages = flatten(answer.messages);
  return answer;
}

Answer Side::finish(OpenStream& open) {
  Answer answer;
  while (auto message = next(open, kPatience)) answer.messages.push_back(std::move(message));
  if (!open.stream->ended()) return broken("the stream did not end");
  const grpc::Status status = open.stream->finish();
  answer.code = status.error_code();
  answer.message = status.error_message();
  answer.messages = flatten(answer.messages);
  return answer;
}

}  // namespace keelson::compat
