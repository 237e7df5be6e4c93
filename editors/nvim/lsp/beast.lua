-- The server of BEAST MODE for vim.lsp.enable('beast'); change it by vim.lsp.config('beast', {...}) or the plugin's options.

local config = require('beast.config')
local options = config.get()

--- What the plugin needs of the server, whatever the user sets.
local settings = vim.tbl_deep_extend('force', options.settings, { deltas = true, status = true })

local commands = {}
for _, kind in ipairs({ 'explain', 'fix', 'refactor', 'docstring', 'tests', 'generate', 'ask' }) do
  commands['beast.' .. kind] = function(command)
    require('beast.actions').of_menu(command)
  end
end

---@type vim.lsp.Config
return {
  cmd = config.connection(),
  filetypes = options.filetypes,
  root_markers = options.root_markers,
  settings = { beast = settings },
  init_options = settings,
  commands = commands, -- what code actions and code lenses run
  reuse_client = function(client, wanted)
    return require('beast.client').reuse(client, wanted)
  end,
  handlers = {
    ['beast/delta'] = function(_, params)
      require('beast.client').on_delta(params)
    end,
    ['beast/done'] = function() end, -- the reply to the command says the same
    ['beast/status'] = function(_, params)
      require('beast.status').on_status(params)
    end,
    ['window/showMessage'] = function(_, params)
      require('beast.notice').said(params)
    end,
    ['window/showMessageRequest'] = function(_, params)
      return require('beast.folders').asked(params)
    end,
    ['window/showDocument'] = function(problem, params, context)
      return require('beast.show').on_show_document(problem, params, context)
    end,
  },
  on_init = function(client)
    require('beast.menu').widen(client)
  end,
  on_attach = function(client, bufnr)
    require('beast.client').on_attach(client, bufnr)
    require('beast.inline').on_attach(client, bufnr)
  end,
  on_exit = function(_, _, client_id)
    vim.schedule(function()
      require('beast.client').on_exit(client_id)
    end)
  end,
}
