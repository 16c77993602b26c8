# What `cmake --install` lays out beside the binary, its plugins and headers: the configuration, the manual pages and
# the systemd unit; and the package that `cpack -G DEB` makes of it all.

set(SP_ETC etc/sallyport)
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr") # there is no /usr/etc
    set(SP_ETC /etc/sallyport)
endif()

install(FILES conf/sallyport.conf DESTINATION ${SP_ETC})
install(FILES conf/backends/local.conf conf/backends/corp-ldap.conf conf/backends/corp-krb5.conf
        DESTINATION ${SP_ETC}/backends)
install(FILES conf/backends/users.htpasswd DESTINATION ${SP_ETC}/backends
        PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ)

# ---- the systemd unit, with the paths of this installation ----

set(SP_SBIN ${CMAKE_INSTALL_PREFIX}/sbin)
if(IS_ABSOLUTE ${SP_ETC})
    set(SP_ETC_FULL ${SP_ETC})
else()
    set(SP_ETC_FULL ${CMAKE_INSTALL_PREFIX}/${SP_ETC})
endif()
file(READ conf/sallyport.service unit)
string(REPLACE "@SP_SBIN@" "${SP_SBIN}" unit "${unit}")
string(REPLACE "@SP_ETC@" "${SP_ETC_FULL}" unit "${unit}")
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/sallyport.service CONTENT "${unit}" @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/sallyport.service DESTINATION lib/systemd/system)

# ---- what the system's own tools know of it ----

install(FILES conf/sallyport.bash DESTINATION share/bash-completion/completions RENAME sallyport)
install(FILES conf/sallyport.logrotate DESTINATION ${SP_ETC}/../logrotate.d RENAME sallyport)
install(FILES README.md DESTINATION share/doc/sallyport)
install(DIRECTORY docs DESTINATION share/doc/sallyport PATTERN man EXCLUDE) # as README's links have it

# ---- manual pages: sallyport.conf(5) comes from the option tables ----

install(FILES docs/man/sallyport.8 DESTINATION share/man/man8)
get_property(plugins GLOBAL PROPERTY SP_PLUGINS)
if(TARGET sp_app AND plugins)
    add_executable(sp_man_conf docs/man/man_conf.c)
    target_link_libraries(sp_man_conf PRIVATE sp_app)
    set_target_properties(sp_man_conf PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/man)
    set(plugin_targets ${plugins})
    list(TRANSFORM plugin_targets PREPEND sp_plugin_)
    add_custom_command(OUTPUT ${PROJECT_BINARY_DIR}/man/sallyport.conf.5
        COMMAND sp_man_conf ${PROJECT_SOURCE_DIR}/docs/man/sallyport.conf.5.in ${PROJECT_BINARY_DIR}/plugins
                ${PROJECT_BINARY_DIR}/man/sallyport.conf.5
        DEPENDS sp_man_conf docs/man/sallyport.conf.5.in ${plugin_targets} VERBATIM)
    add_custom_target(sp_man ALL DEPENDS ${PROJECT_BINARY_DIR}/man/sallyport.conf.5)
    install(FILES ${PROJECT_BINARY_DIR}/man/sallyport.conf.5 DESTINATION share/man/man5)
endif()

# ---- the Debian package ----

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME sallyport)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "sallyport maintainers <sallyport@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "authenticating HTTP forward proxy (LDAP, Kerberos)")
set(CPACK_PACKAGE_DESCRIPTION "The door through which people go out to the internet: it asks who they
are (407), verifies them against an LDAP directory or a Kerberos realm,
keeps the verdict for a while, and lets the traffic through at the speed
of the machine.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_SET_DESTDIR OFF)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS OFF)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "adduser, libuv1 (>= 1.44)")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "ca-certificates, logrotate, whois")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "gss-ntlmssp, krb5-user, ldap-utils, libsasl2-modules-gssapi-mit")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/conf/package.cmake)
file(WRITE ${PROJECT_BINARY_DIR}/debian/conffiles
    "/etc/logrotate.d/sallyport\n/etc/sallyport/sallyport.conf\n/etc/sallyport/backends/local.conf\n"
    "/etc/sallyport/backends/corp-ldap.conf\n/etc/sallyport/backends/corp-krb5.conf\n"
    "/etc/sallyport/backends/users.htpasswd\n")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${PROJECT_BINARY_DIR}/debian/conffiles
    ${PROJECT_SOURCE_DIR}/conf/debian/postinst ${PROJECT_SOURCE_DIR}/conf/debian/prerm
    ${PROJECT_SOURCE_DIR}/conf/debian/postrm)
include(CPack)
