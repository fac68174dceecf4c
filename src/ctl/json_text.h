// ctl/json_text.h
//
// JSON as Go's encoding/json writes protobuf structs: fields by their schema names in schema
// order, zero values left out, 64-bit integers as numbers, bytes in base64, enums as numbers;
// one line, no blanks. (protobuf's own JSON mapping differs in nearly all of these.)

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "proto/rpc.pb.h"

namespace keelson::ctl {

namespace pb = etcdserverpb;

std::string json_string(std::string_view text);
std::string json_message(const google::protobuf::Message& message);

// Builds one object, member by member, in the order of the calls.
class JsonObject {
 public:
  // `json` is JSON already.
  JsonObject& raw(std::string_view name, std::string_view json);
  JsonObject& text(std::string_view name, std::string_view value) {
    return raw(name, json_string(value));
  }
  // The members of another object's text ("{…}") as members of this one.
  JsonObject& embed(std::string_view object);
  std::string str() const { return "{" + members_ + "}"; }

 private:
  void separate();
  std::string members_;
};

std::string json_array(const std::vector<std::string>& items);

}  // namespace keelson::ctl
