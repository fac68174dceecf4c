// The files of a store in pieces, and bodies that are none.

#include "peer/store_body.h"

#include <gtest/gtest.h>

#include <map>

#include "base/crc32c.h"
#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"

namespace keelson::peer {
namespace {

class MapSink final : public StoreFilesSink {
 public:
  absl::Status begin_file(const StoreFile& file) override {
    EXPECT_TRUE(open_.empty());
    open_ = file.name;
    size_ = file.size;
    EXPECT_TRUE(files.emplace(open_, "").second);
    return absl::OkStatus();
  }
  absl::Status file_bytes(std::string_view bytes) override {
    EXPECT_FALSE(bytes.empty());
    files[open_] += bytes;
    return absl::OkStatus();
  }
  absl::Status end_file() override {
    EXPECT_EQ(files[open_].size(), size_);
    open_.clear();
    return absl::OkStatus();
  }

  std::map<std::string, std::string> files;

 private:
  std::string open_;
  uint64_t size_ = 0;
};

std::string encoded(const std::map<std::string, std::string>& files) {
  std::string body;
  for (const auto& [name, bytes] : files) {
    body += cat(store_file_head({.name = name, .size = bytes.size()}), bytes,
                store_file_tail(crc32c::extend(0, bytes)));
  }
  return body + store_files_end();
}

const std::map<std::string, std::string> kFiles = {
    {"000012.sst", std::string(5000, 't')},
    {"CURRENT", "MANIFEST-000004\n"},
    {"MANIFEST-000004", ""},
    {"heads/0a1b-2c.heads", "h"},
};

absl::Status decode(std::string_view body, MapSink& sink, size_t piece = SIZE_MAX) {
  StoreFilesDecoder decoder(&sink);
  for (size_t at = 0; at < body.size(); at += std::min(piece, body.size())) {
    if (absl::Status s = decoder.take(body.substr(at, piece)); !s.ok()) {
      // For good.
      EXPECT_EQ(decoder.take("x"), s);
      EXPECT_EQ(decoder.finish(), s);
      return s;
    }
  }
  return decoder.finish();
}
absl::Status decode(std::string_view body) {
  MapSink sink;
  return decode(body, sink);
}

TEST(StoreBody, InPiecesOfEverySize) {
  for (size_t piece : {1, 2, 3, 7, 64, 4096, 100'000}) {
    MapSink sink;
    EXPECT_TRUE(decode(encoded(kFiles), sink, piece).ok());
    EXPECT_EQ(sink.files, kFiles);
  }
}

TEST(StoreBody, NamesThatLeadNowhereElse) {
  for (const char* name :
       {"CURRENT", "000001.sst", "123456789012345.sst", "MANIFEST-000001", "heads/a-b_C9.heads"}) {
    EXPECT_TRUE(is_store_file_name(name)) << name;
  }
  for (const char* name : {"",
                           ".",
                           "..",
                           "/CURRENT",
                           "../CURRENT",
                           "heads/../x.heads",
                           "heads/.heads",
                           "heads/",
                           "heads//a.heads",
                           "heads/a/b.heads",
                           "a.sst",
                           ".sst",
                           "1.sst/2.sst",
                           "1.sst",
                           "000000.sst",
                           "0000001.sst",
                           "1000000000000000.sst",
                           "MANIFEST-000000",
                           "MANIFEST-18446744073709551615",
                           "MANIFEST-",
                           "MANIFEST-1a",
                           "KEELSON.durable",
                           "LOCK",
                           "OPTIONS-000007",
                           "000003.log",
                           "IDENTITY",
                           "heads/a.sst"}) {
    EXPECT_FALSE(is_store_file_name(name)) << name;
  }
  EXPECT_FALSE(is_store_file_name(cat(std::string(200, '1'), ".sst")));
  EXPECT_FALSE(is_store_file_name(std::string_view("1.sst\0", 6)));
}

TEST(StoreBody, WhatIsNone) {
  const std::string body = encoded(kFiles);
  for (size_t size = 0; size < body.size(); size += size < 30 ? 1 : 17) {
    EXPECT_TRUE(absl::IsInvalidArgument(decode(body.substr(0, size)))) << size;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(decode(body + "x")));
  EXPECT_TRUE(absl::IsInvalidArgument(decode(store_files_end())));
  EXPECT_TRUE(absl::IsInvalidArgument(decode(cat("\x07", "KEELSON", std::string(12, '\0')))));
  // Twice the same.
  const std::string first = store_file_head({.name = "CURRENT"}) + store_file_tail(0);
  EXPECT_TRUE(decode(first + store_files_end()).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(decode(first + first + store_files_end())));
}

TEST(StoreBody, ChangedBytesAreFound) {
  for_each_seed(Seeds{.count = 50}, [](uint64_t seed) {
    SeededRandom random(seed);
    const std::string body = encoded(kFiles);
    for (int i = 0; i < 200; ++i) {
      std::string changed = body;
      changed[random.below(body.size())] ^= static_cast<char>(1 + random.below(255));
      MapSink sink;
      EXPECT_FALSE(decode(changed, sink, 1 + random.below(300)).ok() && sink.files == kFiles);
    }
  });
}

}  // namespace
}  // namespace keelson::peer
