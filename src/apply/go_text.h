// apply/go_text.h
//
// Messages as Go's protobuf libraries print them on one line: what etcd's log lines say of
// requests, so that what reads etcd's lines reads ours. There are two forms, and etcd mixes them:
// the library's own (`key:"a" limit:1`), and that of its predecessor, in which etcd prints what it
// has taken values out of (`key:"a" value_size:3 `, bytes in octal, a blank behind each field).
// Source: google.golang.org/protobuf encoding/prototext, github.com/golang/protobuf/proto; the
// former puts a second blank between fields in every other build of a program, we never do.
//
// Threads: plain values.
// Bounds: no text is longer than its limit; what would be is cut, and nothing more is looked at.

#pragma once

#include <google/protobuf/message.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace keelson::apply {

class GoText {
 public:
  explicit GoText(size_t limit) : limit_(limit) {}

  // As it stands.
  void raw(std::string_view text);
  // In the library's form; fields that the schema does not know are left out.
  void message(const google::protobuf::Message& message);
  // One field in the older form; what is empty or zero is left out.
  void old_bytes(std::string_view name, std::string_view value);
  void old_number(std::string_view name, int64_t value);
  void old_word(std::string_view name, std::string_view value);
  void old_true(std::string_view name, bool value);

  // Nothing more can be added.
  bool full() const { return out_.size() >= limit_; }
  std::string take() { return std::move(out_); }

 private:
  using Field = google::protobuf::FieldDescriptor;

  void field(const google::protobuf::Message& message, const Field& field, int index);
  void quoted(std::string_view bytes);
  void octal(std::string_view bytes);

  const size_t limit_;
  std::string out_;  // out_.size() <= limit_
};

}  // namespace keelson::apply
