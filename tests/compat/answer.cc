#include "tests/compat/answer.h"

#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>

#include "base/text.h"
#include "proto/rpc.pb.h"
#include "tests/harness/schema.h"

namespace keelson::compat {
namespace {

using google::protobuf::Message;
using google::protobuf::util::MessageDifferencer;

constexpr const char* kCodes[] = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};

constexpr int64_t kTtlTolerance = 20;  // seconds

// Makes two remaining times that are near each other the same.
template <typename Response>
void level_ttl(Message* left, Message* right) {
  auto* a = dynamic_cast<Response*>(left);
  auto* b = dynamic_cast<Response*>(right);
  if (a == nullptr || b == nullptr) return;
  if (std::llabs(a->ttl() - b->ttl()) <= kTtlTolerance && a->ttl() > 0 && b->ttl() > 0) {
    b->set_ttl(a->ttl());
  }
}

// 3.6 added the revision that a hash is of; 3.5 leaves it out. It must make sense where it is.
void level_hash_revision(Message* left, Message* right) {
  const auto* a = dynamic_cast<etcdserverpb::HashKVResponse*>(left);
  auto* b = dynamic_cast<etcdserverpb::HashKVResponse*>(right);
  if (a == nullptr || b == nullptr || a->hash_revision() != 0) return;
  if (b->hash_revision() != 0 && b->hash_revision() <= b->header().revision()) {
    b->clear_hash_revision();
  }
}

std::string message_differences(const Message& reference, const Message& subject) {
  std::unique_ptr<Message> a(reference.New());
  std::unique_ptr<Message> b(subject.New());
  a->CopyFrom(reference);
  b->CopyFrom(subject);
  level_ttl<etcdserverpb::LeaseTimeToLiveResponse>(a.get(), b.get());
  level_ttl<etcdserverpb::LeaseKeepAliveResponse>(a.get(), b.get());
  level_hash_revision(a.get(), b.get());
  if (a->GetDescriptor() != b->GetDescriptor()) return "answers of different types\n";
  std::string out;
  MessageDifferencer differencer;
  differencer.ReportDifferencesToString(&out);
  return differencer.Compare(*a, *b) ? "" : out;
}

void clear_header(Message* message) {
  const auto* field = message->GetDescriptor()->FindFieldByName("header");
  if (field != nullptr) message->GetReflection()->ClearField(message, field);
}

bool has_header(const Message& message) {
  const auto* field = message.GetDescriptor()->FindFieldByName("header");
  return field != nullptr && message.GetReflection()->HasField(message, field);
}

std::vector<std::string> split_messages(const std::string& text) {
  std::vector<std::string> out;
  for (size_t from = 0; from <= text.size();) {
    const size_t to = std::min(text.find(";;", from), text.size());
    out.push_back(text.substr(from, to - from));
    from = to + 2;
  }
  return out;
}

}  // namespace

std::string code_name(int code) {
  if (code >= 0 && code < static_cast<int>(std::size(kCodes))) return kCodes[code];
  return cat("code ", code);
}

std::string show(const Answer& answer) {
  if (answer.broken) return cat("(nothing: ", answer.message, ")");
  if (!answer.text.empty()) return answer.text;
  std::string out = code_name(answer.code);
  if (answer.code != 0) return cat(out, ": ", answer.message);
  const char* separator = " ";
  for (const auto& message : answer.messages) {
    out += cat(separator, harness::to_text(*message));
    separator = " ;; ";
  }
  return out;
}

std::string differences(const Answer& reference, const Answer& subject, const Comparison& how) {
  if (reference.broken) return cat("the reference did not answer: ", reference.message, "\n");
  if (subject.broken) return cat("the subject did not answer: ", subject.message, "\n");
  std::string out;
  if (reference.code != subject.code) {
    return cat("code: ", code_name(reference.code), " -> ", code_name(subject.code), "\n");
  }
  // A deadline is watched by the client, too, in other words: whose clock is first, wins.
  const bool either_clock = code_name(reference.code) == "DeadlineExceeded";
  if (!how.code_only && !either_clock && reference.message != subject.message) {
    out += cat("message: \"", reference.message, "\" -> \"", subject.message, "\"\n");
  }
  if (reference.text != subject.text) {
    out += cat("text: ", reference.text, "\n   -> ", subject.text, "\n");
  }
  if (reference.messages.size() != subject.messages.size()) {
    out += cat("messages: ", reference.messages.size(), " -> ", subject.messages.size(), "\n");
    return out;
  }
  for (size_t i = 0; i < reference.messages.size(); ++i) {
    out += message_differences(*reference.messages[i], *subject.messages[i]);
  }
  return out;
}

std::string differences_from(const std::string& expected, const Answer& subject) {
  const std::string got = show(subject);
  if (subject.broken) return cat("the subject did not answer: ", subject.message, "\n");
  if (!subject.text.empty() || !expected.starts_with("OK")) {
    const bool same = got == expected || (expected.find(':') == std::string::npos &&
                                          code_name(subject.code) == expected);
    return same ? "" : cat("expected ", expected, "\n     got ", got, "\n");
  }
  if (subject.code != 0) return cat("expected ", expected, "\n     got ", got, "\n");
  const std::vector<std::string> parts = split_messages(expected.substr(2));
  if (parts.size() != subject.messages.size()) {
    return cat("expected ", parts.size(), " messages, got ", got, "\n");
  }
  std::string out;
  for (size_t i = 0; i < parts.size(); ++i) {
    std::unique_ptr<Message> wanted(subject.messages[i]->New());
    std::unique_ptr<Message> actual(subject.messages[i]->New());
    actual->CopyFrom(*subject.messages[i]);
    if (!google::protobuf::TextFormat::ParseFromString(parts[i], wanted.get())) {
      return cat("the script's subject line does not parse: ", parts[i], "\n");
    }
    if (!has_header(*wanted)) clear_header(actual.get());
    out += message_differences(*wanted, *actual);
  }
  return out;
}

}  // namespace keelson::compat
