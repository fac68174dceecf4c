// backend/rocks/info_log.h
//
// InfoLog hands RocksDB's warnings and errors to the member's log; it writes no file of its own.
//
// Why: RocksDB's logger keeps a file beside the data, and on a disk that is full a build with
//   assertions, as Debian's, aborts at the second line that it cannot write.
// Threads: any.

#pragma once

#include "rocksdb/env.h"

namespace keelson::backend::rocks {

class InfoLog final : public rocksdb::Logger {
 public:
  InfoLog() : rocksdb::Logger(rocksdb::InfoLogLevel::WARN_LEVEL) {}
  using rocksdb::Logger::Logv;
  void Logv(const char* format, va_list arguments) override;
  void Logv(rocksdb::InfoLogLevel level, const char* format, va_list arguments) override;
};

}  // namespace keelson::backend::rocks
