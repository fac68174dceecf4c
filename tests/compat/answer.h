// tests/compat/answer.h
//
// What one server said to one step of a script, and how two such answers are compared.
//
// Threads: plain values. Text forms are for people and for `subject` lines in scripts.

#pragma once

#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <vector>

namespace keelson::compat {

struct Answer {
  int code = 0;         // a gRPC status code; for HTTP the status
  std::string message;  // the status' text
  std::vector<std::shared_ptr<google::protobuf::Message>> messages;
  std::string text;     // of answers that are no messages (HTTP bodies)
  bool broken = false;  // the step itself failed (nothing came in time): never right, even if equal
};

// "OK kvs { … } ;; …", or "NotFound: text".
std::string show(const Answer& answer);
std::string code_name(int code);

struct Comparison {
  bool code_only = false;  // texts that come from a protobuf library, not from etcd
};

// The differences, readable, one a line; empty when the answers are the same. Remaining times of
// leases may differ by the seconds that pass between asking one server and the other.
std::string differences(const Answer& reference, const Answer& subject, const Comparison& how = {});

// The same against a script's `subject` line: "Code", "Code: text" or "OK <protobuf text>", several
// messages separated by ";;". A header that the line does not mention is not compared.
std::string differences_from(const std::string& expected, const Answer& subject);

}  // namespace keelson::compat
