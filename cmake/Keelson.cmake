# Helpers that every directory of the house uses.

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # Without that it caches nothing that uses a precompiled header.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE_PROGRAM})
endif()
find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM)
  add_link_options(-fuse-ld=mold)
endif()

add_compile_options(-Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers
                    -fno-omit-frame-pointer -g1)
if(KEELSON_SANITIZE)
  add_compile_options(-fsanitize=${KEELSON_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${KEELSON_SANITIZE})
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL Clang AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 16)
  include_directories(BEFORE SYSTEM ${CMAKE_SOURCE_DIR}/cmake/clang14)
endif()
if(KEELSON_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

# keelson_directories(dir…): adds each directory that is wanted.
function(keelson_directories)
  foreach(dir ${ARGN})
    if(KEELSON_ONLY AND NOT dir IN_LIST KEELSON_ONLY)
      continue()
    endif()
    if(EXISTS ${CMAKE_SOURCE_DIR}/${dir}/CMakeLists.txt)
      add_subdirectory(${dir})
    endif()
  endforeach()
endfunction()

# keelson_library(name SOURCES … DEPS …): one static library per directory, as keelson_<name>.
function(keelson_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(keelson_${name} STATIC ${ARG_SOURCES})
  target_include_directories(keelson_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(keelson_${name} PUBLIC ${ARG_DEPS} Threads::Threads)
endfunction()

# keelson_test(name SOURCES … DEPS … ARGS …): a GoogleTest program, run by ctest as <name>.
# Test data is found from KEELSON_SOURCE_DIR (the repository's root).
function(keelson_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;ARGS" ${ARGN})
  find_package(GTest REQUIRED)
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE KEELSON_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name} ${ARG_ARGS})
  if(ARG_TIMEOUT)
    set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT})
  else()
    set_tests_properties(${name} PROPERTIES TIMEOUT 300)
  endif()
endfunction()

# keelson_process_test(name SOURCES … DEPS … RUN … TIMEOUT … WITH … ARGS …): a program under tests/ that
# starts others, built as <name>. With RUN ctest runs it under that name, with --server=keelson, and with
# --ctl=keelctl and --utl=keelutl as WITH says; where one of those is not built, it does not. Exit code 77
# means that it could not.
function(keelson_process_test name)
  cmake_parse_arguments(ARG "" "RUN;TIMEOUT" "SOURCES;DEPS;WITH;ARGS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE keelson_test_harness ${ARG_DEPS})
  target_compile_definitions(${name} PRIVATE KEELSON_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  if(NOT ARG_RUN OR NOT TARGET keelson)
    return()
  endif()
  set(others)
  foreach(other ${ARG_WITH})
    if(NOT TARGET keel${other})
      return()
    endif()
    list(APPEND others --${other} $<TARGET_FILE:keel${other}>)
  endforeach()
  add_test(NAME ${ARG_RUN} COMMAND ${name} --server $<TARGET_FILE:keelson> ${others} ${ARG_ARGS})
  set_tests_properties(${ARG_RUN} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT ${ARG_TIMEOUT})
endfunction()

# keelson_random_test(name …): a keelson_test with tests whose body runs from seeds (for_each_seed of
# base/test_seeds.h). The label is how scripts/soak finds it; which of its tests are such, it sees by
# what they print.
function(keelson_random_test name)
  keelson_test(${name} ${ARGN})
  set_tests_properties(${name} PROPERTIES LABELS random)
endfunction()

# keelson_benchmark(name SOURCES … DEPS …): a Google Benchmark program; built, never run by ctest.
function(keelson_benchmark name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  find_package(benchmark REQUIRED)
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} benchmark::benchmark)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
endfunction()

# keelson_fuzzer(name SOURCES … DEPS …): a libFuzzer program when KEELSON_FUZZ is on; sources see
# KEELSON_FUZZER. Called <room>_<name>_fuzz, it starts from src/<room>/testdata/fuzz_<name>.
function(keelson_fuzzer name)
  if(NOT KEELSON_FUZZ)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  target_compile_definitions(${name} PRIVATE KEELSON_FUZZER)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
endfunction()
